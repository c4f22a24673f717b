"""Handling an event that durable tasks wait for: store it, query subscriptions, satisfy each, wake its task."""

from __future__ import annotations

from protocol.suspension_values import (
    NONE,
    SUSPENDED,
    Message,
    Move,
    WaitState,
    Worker,
    given,
    put,
    swapped,
)


class EventHandler:
    """The steps of a delivery from the events' queue."""

    broken = ""

    def _put(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        stored = world._replace(stored=w.message.number)
        early = self.broken == "queries, then stores the event"
        then = self._offering(w) if early else w._replace(step="query")
        return [self._to((stored, msgs), w, then)]

    def _query(self, state: WaitState, w: Worker) -> list[Move]:
        found = tuple(n for sub in state[0].subs for n in sub[:2])
        w = w._replace(todo=found)
        early = self.broken == "queries, then stores the event"
        return [self._to(state, w._replace(todo=()), w._replace(step="put") if early else self._offering(w))]

    def _offering(self, w: Worker) -> Worker:
        if not w.todo:
            return w._replace(step="delete")
        return w._replace(step="find" if self.broken == "wakes before it writes" else "offer")

    def _offer(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        place = (w.todo[0], w.todo[1])
        there = any(sub[:2] == place for sub in world.subs)
        after = world._replace(subs=given(world.subs, place, w.message.number))
        left = w._replace(todo=w.todo[2:])
        if not there or self.broken == "wakes before it writes":
            return [self._to((after, msgs), w, self._offering(left))]
        return [self._to((after, msgs), w, w._replace(step="find"))]

    def _find(self, state: WaitState, w: Worker) -> list[Move]:
        """Whether the task is suspended, and on which ticket."""
        run = state[0].runs[w.todo[0]]
        if run.status == SUSPENDED:
            return [self._to(state, w, w._replace(step="send", ticket=run.ticket))]
        return [self._to(state, w, self._found(w))]

    def _found(self, w: Worker) -> Worker:
        if self.broken == "wakes before it writes":
            return w._replace(step="offer", ticket=NONE)
        return self._offering(w._replace(todo=w.todo[2:], ticket=NONE))

    def _send(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        sent = put(msgs, Message(w.todo[0], w.ticket, world.time))
        return [self._to((world, sent), w, self._found(w))]

    def _to(self, state: WaitState, old: Worker, new: Worker, note: str = "") -> Move:
        world, msgs = state
        return (old.step, old.message.to, old.message.number, note), (swapped(world, old, new), msgs)
