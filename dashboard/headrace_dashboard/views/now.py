"""What needs a person now: failures by fault, what waits the longest, full gates, paused workflows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.datastructures import FormData

from headrace.app import Headrace
from headrace.core.run.record import RunStatus
from headrace.engine.owed.dead_letters import DeadLetter, DeadTask
from headrace_dashboard.formats import now_of
from headrace_dashboard.views.groups import grouped
from headrace_dashboard.views.listed import rows_of

FAILURES = 200
"""How many of the last day's failures are grouped."""

DEAD_LETTERS = 50
"""How many dead letters are shown."""

OPEN = 100
"""How many open runs are shown."""


def view(hatchet: Headrace, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """The last day's failures, the open runs, and the gates that tasks wait at."""
    day = now_of(hatchet) - timedelta(days=1)
    failed = rows_of(hatchet, since=day, statuses=[RunStatus.FAILED], limit=FAILURES)
    running = rows_of(hatchet, since=day, statuses=[RunStatus.QUEUED, RunStatus.RUNNING], limit=OPEN)
    waiting = [row for row in running.rows if row.status is RunStatus.QUEUED]
    gates = [gate for gate in hatchet.gates.list() if gate.waiters]
    return {
        "title": "Now",
        "groups": grouped(failed.rows),
        "failed": len(failed.rows),
        "more_failed": failed.pagination.next_page is not None,
        "open": running.rows,
        "more_open": running.pagination.next_page is not None,
        "searched_until": running.searched_until,
        "waiting": waiting,
        "oldest": min((row.created_at for row in waiting), default=None),
        "gates": gates,
        "dead_letters": hatchet.dead_letters.list(DEAD_LETTERS),
        "paused": [gate for gate in gates if gate.kind == "pause"],
        "now": now_of(hatchet),
    }


def redrive(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Process a dead letter again: goes on to the run that was started for it."""
    letter = _dead_letter(hatchet, form)
    started = hatchet.dead_letters.redrive(letter)
    return f"/runs/{started}" if isinstance(letter, DeadTask) else "/"


def forget(hatchet: Headrace, path: Mapping[str, str], form: FormData) -> str:
    """Take a dead letter off the list."""
    hatchet.dead_letters.forget(_dead_letter(hatchet, form))
    return "/"


def _dead_letter(hatchet: Headrace, form: FormData) -> DeadLetter:
    """ValueError where it is not there (any more)."""
    wanted = str(form.get("id") or "")
    found = next((letter for letter in hatchet.dead_letters.list() if letter.id == wanted), None)
    if found is None:
        raise ValueError(f"dead letter {wanted!r} not found: it was redriven or forgotten meanwhile")
    return found
