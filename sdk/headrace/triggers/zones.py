"""What crosses from one zone of a stack into another: the start of a run, as a message. Nothing is read or written there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.engine.runs.start import start_elsewhere
from headrace.errors import ZoneError
from headrace.options.zones import called
from headrace.triggers.definition import found_or_raise
from headrace.triggers.placement import Placement

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord
    from headrace.core.run.request import StartOptions, StartRun
    from headrace.engine.runs.start import NewRun
    from headrace.triggers.definition import Door

Build = Callable[["Door", "StartRun", Placement], "NewRun"]


def start_across(app: Door, wanted: Sequence[StartRun], build: Build) -> list[RunRecord]:
    """Start runs of other zones' workflows. ZoneError, before anything is sent, where one asks for more than its start.

    They have no parent run: what started them is in their metadata, and their ids follow from it, so that a second attempt starts
    no second run.
    """
    news: list[tuple[str, NewRun]] = []
    for each in wanted:
        found = found_or_raise(app, each.workflow).published
        _check(each, found.zone, has_key=found.idempotency is not None)
        placement = Placement(app, None)
        placement.without_live_workers()
        new = build(app, replace(each, reply_to=None), placement)
        news.append((found.zone, replace(new, parent=None)))
    return start_elsewhere(app.engine, news)


def _check(wanted: StartRun, zone: str, *, has_key: bool) -> None:
    where = f"workflow {wanted.workflow} is in {called(zone)}"
    if wanted.waited:
        raise ZoneError(
            f"{where}, and its result cannot be waited for from another: start it with wait_for_result=False, and have its task start "
            "a workflow of this zone where something is to follow"
        )
    if has_key:
        raise ZoneError(
            f"{where} and has idempotency=, whose keys are in the table there: start it from that zone, or make the run's effect idempotent"
        )
    for name in _what_cannot_cross(wanted.options):
        raise ZoneError(
            f"{where}: {name} needs what is in the table there: leave it out, or start the run from that zone"
        )


def _what_cannot_cross(options: StartOptions) -> list[str]:
    asked = {
        "debounce": options.debounce is not None,
        "delay or run_at": options.due_at_ms is not None,
        "sticky": options.sticky,
        "desired_worker_id": options.desired_worker_id is not None,
        "desired_worker_labels": bool(options.desired_worker_labels),
    }
    return [name for name, is_asked in asked.items() if is_asked]
