"""Engines with one mistake about batches each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from headrace.core.changes import ALWAYS, ITEM_EXISTS, AtMost, SizeBelow, Update, every
from headrace.core.waits import batch
from headrace.engine.runs.batches import call, claim, deliver, lease
from headrace.engine.waits.kinds import batch as joining

Mistake = Callable[[], list[Any]]


def _never(*arguments: Any, **options: Any) -> None:
    """Does not do it."""


def _flushed_twice() -> list[Any]:
    """A second delivery of a batch's message runs it beside the first."""
    original = batch.take
    return [patch.object(batch, "take", lambda *a, **k: replace(original(*a, **k), require=ALWAYS))]


def _lost_with_its_flusher() -> list[Any]:
    """A delivery that takes a batch over leaves out the members that the dead one had claimed."""
    return [patch.object(claim, "_claim_again", _never)]


def _forgotten_before_it_ends() -> list[Any]:
    original = call.commit_all

    def commit_all(engine: Any, host: Any, taken: Any, *rest: Any) -> bool:
        lease.forget(engine, taken)
        return original(engine, host, taken, *rest)

    return [patch.object(call, "commit_all", commit_all)]


def _joins_a_closed_batch() -> list[Any]:
    original = batch.join

    def join(line: str, at: batch.At, joins: batch.Joining) -> Update:
        room = SizeBelow(("m",), batch.capacity(at, joins.max_size))
        light = AtMost(("z",), batch.MAX_BATCH_BYTES)
        return replace(original(line, at, joins), require=every(ITEM_EXISTS, room, light))

    return [patch.object(batch, "join", join)]


def _members_are_not_fenced() -> list[Any]:
    """Each delivery claims all members, whichever ticket they wait for."""
    original = claim.claim
    return [
        patch.object(claim, "claim", lambda *a, **k: replace(original(*a, **k), require=ITEM_EXISTS)),
    ]


def _owes_no_message() -> list[Any]:
    """A redelivered message of a run that is in a batch does not send what that batch waits for."""
    return [patch.object(joining, "_send_what_is_due", _never)]


def _a_run_that_is_over_owes_nothing() -> list[Any]:
    return [patch.object(joining, "repay", _never)]


def _tells_no_other() -> list[Any]:
    """A batch that ends does not send the message of the one that waits for it."""
    return [patch.object(lease, "tell_next", _never)]


def _more_than_may_run() -> list[Any]:
    original = batch.may_run
    return [patch.object(batch, "may_run", lambda *a: replace(original(*a), require=ALWAYS))]


def _its_lease_is_not_kept() -> list[Any]:
    return [patch.object(call, "_keep", lambda *a: True)]


def _deleted_once_it_is_taken() -> list[Any]:
    """The batch's message is deleted before its members have ended."""
    original = deliver.claim_all

    def claim_all(engine: Any, received: Any, *rest: Any) -> Any:
        engine.queues.delete(received)
        return original(engine, received, *rest)

    return [patch.object(deliver, "claim_all", claim_all)]


MISTAKES: dict[str, Mistake] = {
    "a batch is flushed twice": _flushed_twice,
    "the items of a batch are lost with its flusher": _lost_with_its_flusher,
    "a batch is forgotten before its members have ended": _forgotten_before_it_ends,
    "a run joins a closed batch": _joins_a_closed_batch,
    "members are claimed whatever they wait for": _members_are_not_fenced,
    "who joined sends nothing again": _owes_no_message,
    "a member that is over owes its batch nothing": _a_run_that_is_over_owes_nothing,
    "a batch that ends tells no other": _tells_no_other,
    "more batches run than may": _more_than_may_run,
    "the lease of a batch is not kept": _its_lease_is_not_kept,
    "the message of a batch is deleted first": _deleted_once_it_is_taken,
}
