"""The reply queues of processes that wait for results: made with a lease, swept by the clock once that is long over."""

from __future__ import annotations

import logging

from headrace.core.changes import Applied, Refused
from headrace.core.run import replies
from headrace.core.table import REPLY_QUEUES
from headrace.engine.engine import Engine
from headrace.errors import AccessDenied, RequestRefused

logger = logging.getLogger("headrace.waiting")


def make_queue(engine: Engine) -> str:
    """A reply queue of this process, with a lease: its item first, so that it is swept whatever happens now.

    AccessDenied where the process may not make queues.
    """
    assert engine.replies is not None
    queue = replies.queue_named(engine.ids.owner())
    engine.store.write(replies.announce(queue, now_ms=engine.clock.now_ms()))
    try:
        engine.replies.make(queue)
    except (AccessDenied, RequestRefused):
        engine.store.write(replies.forget(queue))
        raise
    return queue


def renew_queue(engine: Engine, queue: str) -> bool:
    """Keep it for another lease. False: it has been swept."""
    return isinstance(engine.store.write(replies.renew(queue, now_ms=engine.clock.now_ms())), Applied)


def remove_queue(engine: Engine, queue: str) -> None:
    assert engine.replies is not None
    engine.replies.remove(queue)
    engine.store.write(replies.forget(queue))


def sweep_queues(engine: Engine) -> int:
    """Remove the queues of processes that have ended without a word. Returns how many."""
    if engine.replies is None:
        return 0
    swept, now_ms = 0, engine.clock.now_ms()
    for item in engine.store.query(REPLY_QUEUES, consistent=False):
        queue = str(item["sk"])
        if not replies.is_dead(item, now_ms=now_ms):
            continue
        if isinstance(engine.store.write(replies.condemn(queue, now_ms=now_ms)), Refused):
            continue
        try:
            remove_queue(engine, queue)
        except AccessDenied as error:
            logger.debug("reply queue %s is left to the stack's clock: %s", queue, error)
            return swept
        swept += 1
    return swept
