"""Tell processes of the ends of runs that they wait for.

A reply is a hint: the record says how the run ended, and a process that is not told looks all the same, only later.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

from headrace.core.run import replies
from headrace.core.run.record import RunRecord
from headrace.engine.catalog.plans import record_in
from headrace.engine.engine import Engine
from headrace.errors import AccessDenied, RequestRefused, StackNotFound
from headrace.ports import Outgoing

logger = logging.getLogger("headrace.waiting")


def send_reply(engine: Engine, run_id: str, queue: str) -> None:
    """Tell the process of `queue` that the run is over. Nothing is owed to one that has ended, or that may not be told."""
    try:
        engine.queues.send(queue, [Outgoing(body=replies.encode_reply(run_id))])
    except (StackNotFound, RequestRefused):
        logger.debug("run %s is over, and its waiting process has ended (%s)", run_id, queue)
    except AccessDenied as error:
        _say_once(str(error))


@cache
def _say_once(reason: str) -> None:
    logger.warning(
        "processes that wait for results are not told, so they notice ends of runs late: %s", reason
    )


def ask(engine: Engine, run_ids: Sequence[str], queue: str) -> list[RunRecord | None]:
    """Have `queue` told of the ends of runs. The records as they are then: one that is over will not be told. None: no such run."""
    written = engine.store.write_many([replies.ask(run_id, queue) for run_id in run_ids])
    return [None if each.item is None else record_in(engine, each.item) for each in written]
