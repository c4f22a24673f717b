"""A run joins a batch: its task's message puts it into the page that is filling, and goes.

The run that opens a batch owes the message that runs it when it is due; a run that fills it, or closes it since its own input has no room, owes one
that runs it now. A handler that dies in between leaves its own message, whose next delivery finds the run in its page and sends
again. A batch's message that comes twice, or too late, finds a lease or nothing.
"""

from __future__ import annotations

from headrace.core.changes import Applied
from headrace.core.points import AtBatch, encode_point
from headrace.core.run.message import BatchMessage, encode_batch
from headrace.core.run.owed import worker_of
from headrace.core.run.plans.plan import BatchPlan
from headrace.core.run.record import RunRecord
from headrace.core.table import batch_page_key, batch_pages, batch_state_key, short_key
from headrace.core.waits import batch
from headrace.core.waits.batch import Absent, At, Closed, Full, IsIn, Joining, Member, Page, TooHeavy
from headrace.engine.engine import Engine
from headrace.engine.timers import send_at
from headrace.errors import StoreUnavailable
from headrace.ports import Outgoing

MAX_TRIES = 40
"""How many pages a run tries before its message is left for later."""

HELD_BELOW_MS = 1_000
"""A batch that is due sooner than SQS can delay a message is held for by the invocation that opens it."""

MARGIN_MS = 5_000
"""How long before its first member could wait no longer a batch runs that has no interval."""


def line_of(record: RunRecord, task: str) -> AtBatch:
    """The line of a batch task for its run's group key."""
    key = record.routing.batch_keys.get(task, "")
    return AtBatch(record.plan.workflow, task, short_key(key) if isinstance(key, str) else "")


def join_batch(engine: Engine, record: RunRecord, task: str, ticket: int, *, queued_at_ms: int) -> None:
    """Put the run into the batch that is filling, and send what that makes due. Doing it again sends again, and joins once."""
    plan = record.plan.task(task).batch
    if plan is None:
        raise ValueError(f"task {task} of workflow {record.plan.workflow} is not a batch task")
    joining = Joining(
        member=Member(
            run_id=record.run_id,
            number=record.plan.numbers[task],
            ticket=ticket,
            queued_at_ms=queued_at_ms,
        ),
        size_bytes=record.routing.input_bytes,
        max_size=plan.max_size,
        max_runs=plan.max_runs,
        worker=worker_of(record, task),
        expires_at_s=record.expires_at_s,
    )
    line = encode_point(line_of(record, task))
    due_ms = _due_ms(plan, engine.clock.now_ms(), queued_at_ms + record.plan.task(task).schedule_timeout_ms)
    before = _page_of(engine, line, joining.member) if engine.account.redelivered else None
    if before is not None:
        _send_what_is_due(engine, line, before, joining.max_size)
        return
    _Line(engine, line, joining, due_ms).join()


def _due_ms(plan: BatchPlan, now_ms: int, start_by_ms: int) -> int:
    """When a batch that begins now is to run: after its interval, or shortly before its first member could wait no longer."""
    latest_ms = max(now_ms, start_by_ms - MARGIN_MS)
    return latest_ms if plan.interval_ms is None else min(now_ms + plan.interval_ms, latest_ms)


def _page_of(engine: Engine, line: str, member: Member) -> Page | None:
    """The page that a run is in, of all that have not run: for a message that was delivered before."""
    pages = (batch.decode_page(item) for item in engine.store.query(line, prefix=batch_pages()))
    return next((page for page in pages if page.holds(member)), None)


def repay(engine: Engine, record: RunRecord, task: str) -> None:
    """Send what a run that waits no longer owes to the batch that it joined: its handler may have died before it had sent that, and the
    other members wait for it. A batch that a delivery has taken has its message."""
    plan = record.plan.task(task).batch
    if plan is None:
        return
    line = encode_point(line_of(record, task))
    for item in engine.store.query(line, prefix=batch_pages()):
        page = batch.decode_page(item)
        if record.run_id in page.members and page.owner is None:
            _send_what_is_due(engine, line, page, plan.max_size)


def send_batch(engine: Engine, worker: str, line: str, number: int) -> None:
    """Have a batch closed and run now."""
    body = encode_batch(BatchMessage(line=line, number=number))
    engine.send(engine.next_queue(worker), [Outgoing(body=body)])


def _send_what_is_due(engine: Engine, line: str, page: Page, max_size: int) -> None:
    """Of a page that was joined: what its members owe, whichever of them has died."""
    if page.closed or page.completes(max_size) or page.due_ms <= engine.clock.now_ms():
        send_batch(engine, page.worker, line, page.at.number)
    else:
        _send_later(engine, line, page)


def _send_later(engine: Engine, line: str, page: Page) -> None:
    body = encode_batch(BatchMessage(line=line, number=page.at.number))
    send_at(engine, page.worker, page.due_ms, body)


class _Line:
    """One run on its way into a batch of a line."""

    def __init__(self, engine: Engine, line: str, joining: Joining, due_ms: int) -> None:
        self._engine, self._line, self._joining, self._due_ms = engine, line, joining, due_ms
        self._was_filling: At | None = None
        """What was filling before the last try. A page that is not there then has run; another may just have been opened."""

    def join(self) -> None:
        self._was_filling = self._filling(consistent=False)
        at = self._was_filling or At(1)
        for _ in range(MAX_TRIES):
            following = self._try(at)
            if following is None:
                return
            at = following
        raise StoreUnavailable(f"the batches of {self._line} kept filling up")

    def _try(self, at: At) -> At | None:
        """One page; the one to try next, or None: the run has joined, and what it owes is sent."""
        written = self._engine.store.write(batch.join(self._line, at, self._joining))
        if isinstance(written, Applied) and written.item is not None:
            page = batch.decode_page(written.item)
            overdue = page.due_ms <= self._engine.clock.now_ms()  # the run that opened it may have died
            if overdue or page.completes(self._joining.max_size):
                send_batch(self._engine, page.worker, self._line, at.number)
            return None
        match batch.judge_join(written.item, self._joining):
            case IsIn(page):
                _send_what_is_due(self._engine, self._line, page, self._joining.max_size)
                return None
            case Absent():
                return self._absent(at)
            case Closed():
                return self._next_batch(at)
            case Full(page):
                return self._after_full(page)
            case TooHeavy(page):
                return self._close(page)

    def _filling(self, *, consistent: bool) -> At | None:
        item = self._engine.store.get(batch_state_key(self._line), consistent=consistent)
        return batch.decode_line(item).at

    def _absent(self, at: At) -> At | None:
        """Not there: it was not opened yet, or has run. A batch that has run is not opened again."""
        filling, before = self._filling(consistent=True), self._was_filling
        self._was_filling = filling
        if filling is None:
            return self._open(At(1))
        if filling > at or (filling == at and before != at):
            return filling
        return self._open(filling.next_batch if filling == at else at)

    def _next_batch(self, at: At) -> At | None:
        filling = self._filling(consistent=True)
        return filling if filling is not None and filling.number > at.number else self._open(at.next_batch)

    def _after_full(self, page: Page) -> At | None:
        following = batch.after_full(page.at, self._joining.max_size)
        if following.page == 0:
            return self._next_batch(page.at)
        if page.size_bytes + self._joining.size_bytes > batch.MAX_BATCH_BYTES:
            return self._close(page)
        return self._open(following, before_bytes=page.size_bytes, due_ms=page.due_ms)

    def _close(self, page: Page) -> At | None:
        """The batch has no room for this input: it runs now, and the run joins the next one."""
        self._engine.store.write(batch.seal(self._line, page.at))
        send_batch(self._engine, page.worker, self._line, page.at.number)
        return self._next_batch(page.at)

    def _open(self, at: At, *, before_bytes: int = 0, due_ms: int | None = None) -> At | None:
        """Open a page, as its first member. Where another run has opened it, join that one."""
        engine, joining = self._engine, self._joining
        due_ms = self._due_ms if due_ms is None else due_ms
        put = batch.open_page(self._line, at, joining, before_bytes=before_bytes, due_ms=due_ms)
        written = engine.store.write(put)
        if not isinstance(written, Applied) or written.item is None:
            return at
        engine.store.write(batch.moved_on(self._line, at, expires_at_s=joining.expires_at_s))
        page = batch.decode_page(written.item)
        has_run = at.page > 0 and engine.store.get(batch_page_key(self._line, at.number, 0)) is None
        if has_run or page.completes(joining.max_size):
            send_batch(engine, page.worker, self._line, at.number)
        elif at.page == 0:
            self._owe_the_first_message(page)
        return None

    def _owe_the_first_message(self, page: Page) -> None:
        """The message that runs the batch when it is due; where SQS cannot delay it for so short a time, this invocation waits."""
        engine = self._engine
        wait_ms = page.due_ms - engine.clock.now_ms()
        if wait_ms >= HELD_BELOW_MS:
            _send_later(engine, self._line, page)
            return
        engine.clock.sleep(max(0, wait_ms) / 1000)
        item = engine.store.get(batch_page_key(self._line, page.at.number, 0))
        if item is not None and not batch.decode_page(item).closed:
            send_batch(engine, page.worker, self._line, page.at.number)


# ---------------------------------------------------------------- lined up after admission


def line_up(engine: Engine, record: RunRecord, task: str) -> None:
    """A task that is PARKED at its batch: it joins, with its current ticket."""
    row = record.tasks[task]
    since_ms = row.queued_at_ms or record.created_at_ms
    join_batch(engine, record, task, row.ticket, queued_at_ms=since_ms)
