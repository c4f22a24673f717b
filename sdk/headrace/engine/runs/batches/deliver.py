"""A batch's message delivered: close it, claim its members, call the code once, commit each.

    take the lease and close every page ── claim each member ── run once ── commit each, and pay ── forget the batch ── delete

A crash anywhere leaves the batch's message and its pages. The next delivery takes the lease once it is over, takes over the members
that ran, pays again for those that ended, and runs the rest. A member that was cancelled, or that another batch runs, is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.points import AtBatch, point_at
from headrace.core.run.message import BatchMessage
from headrace.engine.attempts.ports import Disposition, Done, Host, Later, Poison
from headrace.engine.engine import Engine
from headrace.engine.runs.attempt import (
    Runner,
    run_live,
)
from headrace.engine.runs.batches.call import call_once
from headrace.engine.runs.batches.claim import claim_all
from headrace.engine.runs.batches.lease import Taken, forget, take

if TYPE_CHECKING:
    from headrace.ports import Received


def deliver_batch(
    engine: Engine, host: Host, received: Received, message: BatchMessage, runner: Runner = run_live
) -> Disposition:
    """Run a batch, unless it has run, or runs elsewhere, or as many of its line run as may."""
    point = point_at(message.line) if message.line else None
    if not isinstance(point, AtBatch):
        return Poison(f"there is no batch line {message.line!r}")
    taken = take(engine, host, received, message)
    if not isinstance(taken, Taken):
        return taken
    members = claim_all(engine, received, message, point, taken)
    if members and not call_once(engine, host, taken, members, runner):
        return Later(0, "another delivery took the batch over")
    forget(engine, taken)
    return Done()
