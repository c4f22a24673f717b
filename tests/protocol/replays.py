"""Replaying: a run of two tasks, B after A, that ends, is replayed, and may be replayed again by another caller meanwhile.

A client reads a run that is over, sends the message of the first task that is due again, and writes the record: generation + 1, every
task that is to run again waits for the ticket after its last one. A process that receives the message and finds the record as the client
found it makes the same write in the client's stead. The message names its replay and the one that the record was at, so that of two
replays of one end one wins, and the other's message claims nothing.

The run holds a permit while it runs; its end frees it, by what the record was when it ended, perhaps much later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from protocol.model import FLIGHT, READY, Faults, Label

A, B = 0, 1
WAITING, RUNNING, COMPLETED, FAILED = "waiting", "running", "completed", "failed"
ALL, ONLY_FAILED = "all", "only failed"
HANDLERS = 3
NOT_HELD = -1

Row: TypeAlias = tuple[str, int]
"""Status and ticket; of a task that waits, the ticket that it waits for."""


class Record(NamedTuple):
    """`replay`: which replay it was last (0: none). `generation`: how many there were."""

    rows: tuple[Row, Row]
    replay: int = 0
    generation: int = 0
    cancelled: bool = False

    @property
    def over(self) -> bool:
        a, b = self.rows[A][0], self.rows[B][0]
        return self.cancelled or a == FAILED or (a == COMPLETED and b in (COMPLETED, FAILED))


class Message(NamedTuple):
    """`replay`: the one that sent it (0: a commit did). `after`: which replay the record was at then."""

    task: int
    ticket: int
    replay: int = 0
    after: int = 0
    kind: str = ALL
    where: str = READY


class Worker(NamedTuple):
    """A delivery. `sends`: the ticket of B that is to be sent (0: none); `frees`: the generation whose permit is to go (-1: none)."""

    message: Message
    step: str = "claim"
    leased: bool = True
    owns: bool = False
    sends: int = 0
    frees: int = NOT_HELD


class Client(NamedTuple):
    """A call of replay, with the record that it has read."""

    replay: int
    kind: str
    step: str = "read"
    seen: Record = Record(((WAITING, 1), (WAITING, 1)))


class World(NamedTuple):
    record: Record
    holder: int
    workers: tuple[Worker, ...]
    clients: tuple[Client, ...]
    calls: tuple[str, ...]
    budget: tuple[int, ...]
    applied: tuple[int, ...] = ()


ReplayState: TypeAlias = tuple[World, tuple[Message, ...]]
Move: TypeAlias = tuple[Label, ReplayState]
CRASH, DUP, ZOMBIE, FAIL, CANCEL = range(5)


def replayed(record: Record, replay: int, kind: str) -> Record:
    """The record of the next generation."""
    again = [kind == ALL or row[0] != COMPLETED for row in record.rows]
    rows = [(WAITING, row[1] + 1) if anew else row for row, anew in zip(record.rows, again, strict=True)]
    return Record((rows[A], rows[B]), replay, record.generation + 1)


class Replays:
    """`calls`: what kinds of replay are asked for, each once, at any time."""

    def __init__(self, *calls: str, faults: Faults | None = None, broken: str = "") -> None:
        found = faults or Faults()
        self.calls = calls
        self.budget = (found.crash, found.dup, found.zombie, found.fail, found.cancel)
        self.broken = broken
        self.steps: dict[str, Callable[[ReplayState, Worker], list[Move]]] = {
            "claim": self._claim,
            "enter": self._enter,
            "run": self._run,
            "send": self._send,
            "free": self._free,
            "delete": self._delete,
        }

    def first(self) -> ReplayState:
        record = Record(((WAITING, 1), (WAITING, 1)))
        return (World(record, NOT_HELD, (), (), self.calls, self.budget), (Message(A, 1),))

    def wrong(self, state: ReplayState) -> str | None:
        world, msgs = state
        for each in world.workers:
            if each.step == "run" and each.owns and world.holder != world.record.generation:
                return "it runs without a permit"
        if len(set(world.applied)) < len(world.applied):
            return "a replay took place twice"
        if msgs or world.workers or world.clients:
            return None
        if not world.record.over:
            return "nothing will run what waits"
        return "its permit is never free" if world.holder != NOT_HELD else None

    # ------------------------------------------------------------ what may happen

    def successors(self, state: ReplayState) -> list[Move]:
        world, msgs = state
        out: list[Move] = []
        if len(world.workers) < HANDLERS:
            out.extend(self._deliveries(state))
        if world.budget[CANCEL] and not world.record.over:
            out.append((("cancel",), (self._cancelled(world), msgs)))
        if world.record.over:
            out.extend(self._calls(state))
        for worker in world.workers:
            out.extend(self.steps[worker.step](state, worker))
            out.extend(self._faults(state, worker))
        for client in world.clients:
            out.extend(self._client(state, client))
            if world.budget[CRASH]:
                gone = _without(world, client)._replace(budget=_spent(world, CRASH))
                out.append((("the client dies", client.step), (gone, msgs)))
        return out

    def _deliveries(self, state: ReplayState) -> list[Move]:
        world, msgs = state
        out: list[Move] = []
        for message in dict.fromkeys(msgs):
            taken = message._replace(where=FLIGHT)
            now = world._replace(workers=tuple(sorted((*world.workers, Worker(taken)))))
            name = (message.task, message.ticket, message.replay)
            if message.where == READY:
                out.append((("deliver", *name), (now, _swapped(msgs, message, taken))))
            elif world.budget[DUP]:
                out.append((("duplicate", *name), (now._replace(budget=_spent(world, DUP)), msgs)))
        return out

    def _cancelled(self, world: World) -> World:
        """The mark, and what it owes: the permit."""
        record = world.record._replace(cancelled=True)
        holder = NOT_HELD if world.holder <= record.generation else world.holder
        return _disowned(world)._replace(record=record, holder=holder, budget=_spent(world, CANCEL))

    def _calls(self, state: ReplayState) -> list[Move]:
        world, msgs = state
        out: list[Move] = []
        for at, kind in enumerate(world.calls):
            if kind == "":
                continue
            left = (*world.calls[:at], "", *world.calls[at + 1 :])
            clients = (*world.clients, Client(at + 1, kind))
            out.append((("call", kind), (world._replace(calls=left, clients=clients), msgs)))
        return out

    def _faults(self, state: ReplayState, worker: Worker) -> list[Move]:
        world, msgs = state
        out: list[Move] = []
        back = _returned(msgs, worker.message)
        if world.budget[CRASH]:
            rest = _without(world, worker)._replace(budget=_spent(world, CRASH))
            out.append((("crash", worker.step), (rest, back)))
        if world.budget[ZOMBIE] and worker.leased:
            frozen = _swap(world, worker, worker._replace(leased=False))._replace(
                budget=_spent(world, ZOMBIE)
            )
            out.append((("freeze", worker.step), (frozen, back)))
        return out

    # ------------------------------------------------------------ a client

    def _client(self, state: ReplayState, client: Client) -> list[Move]:
        world, msgs = state
        match client.step:
            case "read":
                if not world.record.over or (client.kind == ONLY_FAILED and _all_completed(world.record)):
                    return [(("refused",), (_without(world, client), msgs))]
                then = "write" if self.broken == "write, then send" else "send"
                read = client._replace(step=then, seen=world.record)
                return [(("read",), (_swap(world, client, read), msgs))]
            case "send":
                then = "done" if self.broken == "write, then send" else "write"
                sent = tuple(sorted((*msgs, self._message(client))))
                return [(("send",), (_swap(world, client, client._replace(step=then)), sent))]
            case "write":
                if world.record.replay == client.seen.replay and world.record.over:
                    world = self._apply(world, client.replay, client.kind)
                then = "send" if self.broken == "write, then send" else "done"
                return [(("write",), (_swap(world, client, client._replace(step=then)), msgs))]
            case _:
                return [(("returned",), (_without(world, client), msgs))]

    def _message(self, client: Client) -> Message:
        after = self._next(client.seen, client.replay, client.kind)
        task = A if after.rows[A][0] == WAITING else B
        return Message(task, after.rows[task][1], client.replay, client.seen.replay, client.kind)

    def _next(self, record: Record, replay: int, kind: str) -> Record:
        after = replayed(record, replay, kind)
        if self.broken == "tickets begin again":
            rows = [(status, 1 if status == WAITING else ticket) for status, ticket in after.rows]
            return after._replace(rows=(rows[A], rows[B]))
        return after

    def _apply(self, world: World, replay: int, kind: str) -> World:
        record = self._next(world.record, replay, kind)
        return _disowned(world)._replace(record=record, applied=(*world.applied, replay))

    # ------------------------------------------------------------ a worker

    def _claim(self, state: ReplayState, worker: Worker) -> list[Move]:
        world, msgs = state
        message, record = worker.message, world.record
        status, ticket = record.rows[message.task]
        current = message.replay in (0, record.replay) or self.broken == "any replay's message claims"
        if status == WAITING and ticket == message.ticket and current and not record.cancelled:
            if message.task == B and record.rows[A][0] != COMPLETED:
                return [(("!B runs before A",), state)]
            return [(("claim", message.task), (self._owned(world, worker), msgs))]
        found = message.replay != 0 and record.over
        unseen = record.replay == message.after or self.broken == "applied to whatever is over"
        if found and unseen and self.broken != "no redelivery repairs the write":
            return [
                (("in its stead",), (self._apply(world, message.replay, message.kind), msgs))
            ]  # and claims next
        if status == RUNNING and ticket == message.ticket and not record.cancelled:
            if any(each.owns and each.leased and each.message.task == message.task for each in world.workers):
                return [(("busy",), (_without(world, worker), _returned(msgs, message)))]
            return [(("take over", message.task), (self._owned(world, worker), msgs))]
        return [(("stale",), (_swap(world, worker, self._owing(record, worker)), msgs))]

    def _owned(self, world: World, worker: Worker) -> World:
        task, ticket = worker.message.task, worker.message.ticket
        others = tuple(
            each._replace(owns=False) if each.message.task == task else each for each in world.workers
        )
        record = _with_row(world.record, task, (RUNNING, ticket))
        world = world._replace(record=record, workers=tuple(sorted(others)))
        mine = worker._replace(owns=False) if worker not in world.workers else worker
        return _swap(world, mine, worker._replace(step="enter", owns=True))

    def _enter(self, state: ReplayState, worker: Worker) -> list[Move]:
        """Every task of a run passes where the run stands; which it does once."""
        world, msgs = state
        if not worker.owns:
            return [(("fenced",), (_without(world, worker), _returned(msgs, worker.message)))]
        held = world._replace(holder=world.record.generation)
        return [(("enter",), (_swap(held, worker, worker._replace(step="run")), msgs))]

    def _run(self, state: ReplayState, worker: Worker) -> list[Move]:
        world, msgs = state
        task, ticket = worker.message.task, worker.message.ticket
        if not worker.owns:
            return [(("fenced",), (_without(world, worker), _returned(msgs, worker.message)))]
        out: list[Move] = []
        for status in (COMPLETED, FAILED) if world.budget[FAIL] else (COMPLETED,):
            record = _with_row(world.record, task, (status, ticket))
            after = self._owing(record, worker._replace(owns=False))
            budget = _spent(world, FAIL) if status == FAILED else world.budget
            done = _swap(world, worker, after)._replace(record=record, budget=budget)
            out.append(((status, task), (done, msgs)))
        return out

    def _owing(self, record: Record, worker: Worker) -> Worker:
        """What the record owes on account of the message, as it is now."""
        task, ticket = worker.message.task, worker.message.ticket
        (status, current), (next_status, next_ticket) = record.rows
        ready = task == A and (status, current) == (COMPLETED, ticket) and next_status == WAITING
        sends = next_ticket if ready and not record.cancelled else 0
        frees = record.generation if record.over else NOT_HELD
        return worker._replace(step="send", sends=sends, frees=frees)

    def _send(self, state: ReplayState, worker: Worker) -> list[Move]:
        world, msgs = state
        then = worker._replace(step="free", sends=0)
        sent = (Message(B, worker.sends),) if worker.sends else ()
        return [(("send", worker.sends), (_swap(world, worker, then), tuple(sorted((*msgs, *sent)))))]

    def _free(self, state: ReplayState, worker: Worker) -> list[Move]:
        world, msgs = state
        mine = worker.frees >= world.holder or self.broken == "an end frees any generation's permit"
        holder = NOT_HELD if worker.frees != NOT_HELD and mine else world.holder
        then = worker._replace(step="delete", frees=NOT_HELD)
        return [(("free", worker.frees), (_swap(world, worker, then)._replace(holder=holder), msgs))]

    def _delete(self, state: ReplayState, worker: Worker) -> list[Move]:
        world, msgs = state
        return [(("delete",), (_without(world, worker), _gone(msgs, worker.message)))]


# ---------------------------------------------------------------- values


def _all_completed(record: Record) -> bool:
    return all(status == COMPLETED for status, _ in record.rows)


def _with_row(record: Record, task: int, row: Row) -> Record:
    rows = (row, record.rows[B]) if task == A else (record.rows[A], row)
    return record._replace(rows=rows)


def _spent(world: World, kind: int) -> tuple[int, ...]:
    return (*world.budget[:kind], world.budget[kind] - 1, *world.budget[kind + 1 :])


def _disowned(world: World) -> World:
    return world._replace(workers=tuple(sorted(each._replace(owns=False) for each in world.workers)))


def _swap(world: World, old: Worker | Client, new: Worker | Client) -> World:
    world = _without(world, old)
    if isinstance(new, Worker):
        return world._replace(workers=tuple(sorted((*world.workers, new))))
    return world._replace(clients=(*world.clients, new))


def _without(world: World, gone: Worker | Client) -> World:
    if isinstance(gone, Worker):
        at = world.workers.index(gone)
        return world._replace(workers=(*world.workers[:at], *world.workers[at + 1 :]))
    return world._replace(clients=tuple(each for each in world.clients if each.replay != gone.replay))


def _swapped(msgs: tuple[Message, ...], old: Message, new: Message | None) -> tuple[Message, ...]:
    if old not in msgs:
        return msgs
    at = msgs.index(old)
    rest = (*msgs[:at], *msgs[at + 1 :])
    return rest if new is None else tuple(sorted((*rest, new)))


def _returned(msgs: tuple[Message, ...], message: Message) -> tuple[Message, ...]:
    """The message in flight becomes visible again."""
    return _swapped(msgs, message, message._replace(where=READY))


def _gone(msgs: tuple[Message, ...], message: Message) -> tuple[Message, ...]:
    return _swapped(msgs, message, None)
