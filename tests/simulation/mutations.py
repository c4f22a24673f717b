"""Engines with one mistake each. The simulation must find every one: that is the test of the simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from headrace.core.changes import ALWAYS, ITEM_EXISTS, Update, every
from headrace.core.run import message as messages
from headrace.core.run import owed
from headrace.core.run.transitions import claim as claims
from headrace.core.run.transitions import commit as commits
from headrace.core.run.transitions import fence as fences
from headrace.engine.attempts.ports import Done
from headrace.engine.durable import answers
from headrace.engine.runs import claim as claiming
from headrace.engine.runs import commit as committing
from headrace.engine.runs import dead_letter, deliver
from headrace.engine.runs import start as trigger
from headrace.engine.runs.admission import acquire as passing
from headrace.engine.runs.claimed import Claimed
from headrace.engine.waits.kinds import children as joins
from simulation.gate_mutations import GATE_MUTATIONS, RARE_GATE_MUTATIONS

Mutation = Callable[[], list[Any]]


def _unfenced(*arguments: Any, **options: Any) -> Update:
    update: Update = commits.complete(*arguments, **options)
    return replace(update, require=ITEM_EXISTS)


def _drop_the_fence() -> list[Any]:
    return [patch.object(committing, "complete", _unfenced)]


def _no_repair() -> list[Any]:
    return [
        patch.object(module, "owed_to", lambda record, message: ()) for module in (claiming, deliver, passing)
    ]


def _no_pay_after_commit() -> list[Any]:
    return [patch.object(deliver, "owed_after", lambda record, task: ())]


def _ignore_the_ticket() -> list[Any]:
    original = claims.claim

    def claim(at: Any, **options: Any) -> Update:
        update = original(at, **options)
        return replace(update, require=every(ITEM_EXISTS, fences.NOT_CANCELLED))

    return [patch.object(claiming, "claim", claim)]


def _ignore_the_lease() -> list[Any]:
    original = claims.judge_record

    def judge(record: Any, message: Any, *, owner: str, now_ms: int, max_crashes: int = 2) -> Any:
        return original(record, message, owner=owner, now_ms=now_ms + 10**9, max_crashes=2)

    return [
        patch.object(claims, "judge_record", judge),
        patch.object(dead_letter, "judge_record", judge),
    ]


def _take_over_unfenced() -> list[Any]:
    original = claims.take_over
    return [patch.object(claiming, "take_over", lambda at, row: replace(original(at, row), require=ALWAYS))]


def _commit_ignores_cancel() -> list[Any]:
    def complete(*arguments: Any, **options: Any) -> Update:
        update = commits.complete(*arguments, **options)
        at = arguments[1]
        return replace(update, require=every(*fences.fence(at.number, at.owner)))

    return [patch.object(committing, "complete", complete)]


def _put_blindly() -> list[Any]:
    original = claims.create
    return [patch.object(trigger, "create", lambda record: replace(original(record), require=ALWAYS))]


def _forget_the_other_roots() -> list[Any]:
    return [patch.object(claiming, "first_messages", lambda record: ())]


def _same_ticket_again() -> list[Any]:
    original = commits.fail

    def fail(record: Any, at: Any, error: Any, **options: Any) -> Update:
        update = original(record, at, error, **options)
        path = ("tasks", str(at.number))
        row = update.sets.get(path)
        if isinstance(row, dict) and row.get("s") == "Q":
            row["t"] = at.ticket
        return update

    return [patch.object(committing, "fail", fail)]


def _delete_before_pay() -> list[Any]:
    original = deliver._advance

    def advance(engine: Any, host: Any, message: Any, claimed: Any) -> Any:
        engine.queues.delete(claimed.received)
        return original(engine, host, message, claimed)

    return [patch.object(deliver, "_advance", advance)]


def _riders_are_forgotten() -> list[Any]:
    original = claims.judge_record

    def judge(record: Any, message: Any, *, owner: str, now_ms: int, max_crashes: int = 10) -> Any:
        rows = {name: replace(row, via=None) for name, row in record.tasks.items()}
        return original(
            replace(record, tasks=rows), message, owner=owner, now_ms=now_ms, max_crashes=max_crashes
        )

    return [patch.object(claims, "judge_record", judge)]


def _retries_are_forgotten() -> list[Any]:
    """A message answers for its own ticket and for other tasks, not for the attempts of its task that followed."""

    def others(record: Any, message: Any) -> list[str]:
        return [name for name in messages.riders(record, message) if name != message.task]

    return [patch.object(module, "riders", others) for module in (claims, owed)]


def _one_of_those_side_by_side_is_enough() -> list[Any]:
    """A redelivery takes over one of those that a process ran side by side, and deletes the message."""
    original = claiming._take_over

    def take_over(*arguments: Any) -> Any:
        found = original(*arguments)
        return replace(found, taken_over=False) if isinstance(found, Claimed) else found

    return [patch.object(claiming, "_take_over", take_over)]


def _fenced_is_done() -> list[Any]:
    """A lost response of a commit is taken for a fence, and the message deleted."""
    return [
        patch.object(committing, "judge_commit", lambda item, at, then=(): commits.Fenced(None)),
        patch.object(deliver, "_fenced", lambda *arguments: Done()),
    ]


def _retry_counts_lost_workers() -> list[Any]:
    original = claims.take_over

    def take_over(at: Any, row: Any) -> Update:
        update = original(at, row)
        return replace(update, sets={**update.sets, ("tasks", str(at.number), "a"): row.app_retry_count + 1})

    return [patch.object(claiming, "take_over", take_over)]


def _join_fires_early() -> list[Any]:
    from headrace.core.run.derived import graph

    def by_parents(record: Any, task: Any, known: Any) -> Any:
        parents = {name: known[name] for name in task.parents}
        if parents and any(state.settled for state in parents.values()) and not task.leaves:
            return graph.TaskState(
                status=graph.TaskStatus.QUEUED, ready=True, due_since_ms=record.created_at_ms
            )
        return original(record, task, known)

    original = graph._by_parents
    return [patch.object(graph, "_by_parents", by_parents)]


def _wakes_no_parent() -> list[Any]:
    return [patch.object(joins, "wake_suspended", lambda *arguments: None)]


def _does_not_look_again() -> list[Any]:
    """A parent that parks does not look whether its last child has left meanwhile."""
    return [patch.object(answers, "is_empty", lambda engine, name: False)]


def _join_opened_again() -> list[Any]:
    """A retried parent puts its join again, with everybody in it."""
    original = joins._put_once
    return [
        patch.object(joins, "_put_once", lambda name, item: replace(original(name, item), require=ALWAYS))
    ]


MUTATIONS: dict[str, Mutation] = {
    "a commit is not fenced": _drop_the_fence,
    "a redelivered message repairs nothing": _no_repair,
    "a commit pays nothing": _no_pay_after_commit,
    "a used ticket claims again": _ignore_the_ticket,
    "a live lease is taken over": _ignore_the_lease,
    "a takeover is not fenced": _take_over_unfenced,
    "a commit ignores the cancel mark": _commit_ignores_cancel,
    "a client overwrites the record": _put_blindly,
    "a worker that puts the record forgets the other roots": _forget_the_other_roots,
    "a retry issues no new ticket": _same_ticket_again,
    "the message is deleted before the work is done": _delete_before_pay,
    "a crashed chain forgets its riders": _riders_are_forgotten,
    "a crashed retry is forgotten by its message": _retries_are_forgotten,
    "one of those that ran side by side is enough": _one_of_those_side_by_side_is_enough,
    "a commit whose response was lost counts as fenced": _fenced_is_done,
    "a lost worker uses up a retry": _retry_counts_lost_workers,
    "a join fires at its first parent": _join_fires_early,
    "an empty join wakes no parent": _wakes_no_parent,
    "a parking parent does not look again": _does_not_look_again,
    "a join is opened again": _join_opened_again,
}

__all__ = ["GATE_MUTATIONS", "MUTATIONS", "mutated"]


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The engine with that mistake."""
    with ExitStack() as patches:
        for each in {**MUTATIONS, **GATE_MUTATIONS, **RARE_GATE_MUTATIONS}[name]():
            patches.enter_context(each)
        yield
