"""The lease of a batch: taking it closes every page. It is kept while the code runs, and the batch is forgotten at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.changes import Applied
from headrace.core.run.message import BatchMessage
from headrace.core.table import batch_pages, batch_state_key
from headrace.core.values import dataclass
from headrace.core.waits import batch
from headrace.core.waits.batch import At, Member, Page
from headrace.engine.attempts.ports import Disposition, Done, Host, Later
from headrace.engine.engine import Engine
from headrace.engine.waits.kinds.batch import send_batch

if TYPE_CHECKING:
    from headrace.ports import Received

MAX_PAGES = 1_000
"""Pages of a batch: 16,000 members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A batch that is closed, under this delivery's lease."""

    message: BatchMessage
    worker: str
    owner: str
    pages: int
    members: tuple[Member, ...]
    limited: bool


def take(engine: Engine, host: Host, received: Received, message: BatchMessage) -> Taken | Disposition:
    items = engine.store.query(message.line, prefix=batch_pages(message.number))
    pages = [batch.decode_page(item) for item in items]
    if not pages:
        return gone(engine, host.worker, message)
    max_runs = next((page.max_runs for page in pages if page.max_runs is not None), None)
    if max_runs is not None and not may_run(engine, host.worker, message, max_runs):
        return Done()
    owner, now_ms = engine.ids.owner(), engine.clock.now_ms()
    lease_ms = now_ms + host.visibility_s * 950
    write = batch.take(message.line, message.number, owner=owner, now_ms=now_ms, lease_until_ms=lease_ms)
    written = engine.store.write(write)
    if written.item is None:
        return Later(1, "the batch kept changing")
    first = batch.decode_page(written.item)
    if not isinstance(written, Applied) and first.owner != owner:
        seconds = max(1, -(-((first.lease_until_ms or 0) - now_ms) // 1000) + 1)
        engine.queues.hide(received, min(seconds, 43_200))
        return Later(seconds, "another delivery runs the batch")
    closed = [first, *_close_rest(engine, message, first, last=pages[-1].at.page)]
    members = [member for page in closed for member in page.members.values()]
    return Taken(
        message=message,
        worker=host.worker,
        owner=owner,
        pages=len(closed),
        members=tuple(sorted(members, key=lambda each: (each.queued_at_ms, each.run_id))),
        limited=max_runs is not None,
    )


def _close_rest(engine: Engine, message: BatchMessage, first: Page, *, last: int) -> list[Page]:
    """Close the pages after the first. Behind a full one another may have been opened since: it is closed too, or kept from being."""
    out: list[Page] = []
    before = first
    for number in range(1, MAX_PAGES):
        if number > last and len(before.members) < batch.PAGE_MEMBERS:
            break
        item = engine.store.write(batch.close_page(message.line, At(message.number, number))).item
        if item is None:
            break
        before = batch.decode_page(item)
        out.append(before)
    return out


def may_run(engine: Engine, worker: str, message: BatchMessage, max_runs: int) -> bool:
    """Whether the batch may run now. If not, it waits: the next batch that ends sends its message. Looked at once more, as one may have ended just before."""
    line, number = message.line, message.number
    written = engine.store.write(batch.may_run(line, number, max_runs))
    if isinstance(written, Applied) or number in batch.decode_line(written.item).running:
        return True
    state = batch.decode_line(engine.store.write(batch.wait_to_run(line, number)).item)
    if len(_alive(engine, line, state)) < max_runs:
        send_batch(engine, worker, line, number)
    return False


def _alive(engine: Engine, line: str, state: batch.Line) -> frozenset[int]:
    """The batches that count as running and have pages. One without was entered by a delivery that stood still until another had run it,
    and that died then: nothing else takes it off."""
    dead = {
        number
        for number in state.running
        if not engine.store.query(line, prefix=batch_pages(number), limit=1)
    }
    for number in dead:
        engine.store.write(batch.has_run(line, number))
    return state.running - dead


def gone(engine: Engine, worker: str, message: BatchMessage) -> Disposition:
    """It has run. The delivery that ran it may have died before it told the next one of the line."""
    state = batch.decode_line(engine.store.get(batch_state_key(message.line)))
    if message.number in state.running or message.number in state.waiting:
        state = batch.decode_line(engine.store.write(batch.has_run(message.line, message.number)).item)
    tell_next(engine, worker, message, state)
    return Done()


def tell_next(engine: Engine, worker: str, message: BatchMessage, state: batch.Line) -> None:
    if state.next_to_run is not None:
        send_batch(engine, worker, message.line, state.next_to_run)


def forget(engine: Engine, taken: Taken) -> None:
    """All members have ended: the batch goes, if the lease is still this delivery's."""
    line, number = taken.message.line, taken.message.number
    written = engine.store.write(batch.forget_first(line, number, owner=taken.owner))
    if not isinstance(written, Applied) and written.item is not None:
        return
    rest = [batch.forget_page(line, At(number, page)) for page in range(1, taken.pages)]
    if rest:
        engine.store.write_many(rest)
    if taken.limited:
        state = batch.decode_line(engine.store.write(batch.has_run(line, number)).item)
        tell_next(engine, taken.worker, taken.message, state)
