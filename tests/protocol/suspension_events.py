"""Handling an event that durable tasks wait for: store it, query subscriptions, satisfy each, wake its task."""

from __future__ import annotations

from protocol.suspension_values import (
    APART,
    NONE,
    SUSPENDED,
    VISIBLE_AFTER,
    Message,
    Move,
    Sub,
    WaitState,
    Worker,
    World,
    again,
    given,
    put,
    swapped,
    without,
)


class EventHandler:
    """The steps of a delivery from the events' queue."""

    broken = ""

    def _put(self, state: WaitState, w: Worker) -> list[Move]:
        """One that was put before leaves the message alone as long as whoever put it may be at work."""
        world, msgs = state
        over = world.came + VISIBLE_AFTER
        if world.stored != NONE and world.time < over and self.broken != "two handle an event at once":
            left = world._replace(workers=without(world.workers, w))
            return [(("leave", w.message.to), (left, again(msgs, w.message, over)))]
        first = world.stored == NONE
        stored = world._replace(stored=w.message.number, came=world.time if first else world.came)
        came = w._replace(again=not first)
        early = self.broken == "queries, then stores the event"
        then = self._offering(came) if early else came._replace(step="query")
        return [self._to((stored, msgs), w, then)]

    def _query(self, state: WaitState, w: Worker) -> list[Move]:
        found = tuple(n for sub in state[0].subs if self._counts(state[0], w, sub) for n in sub[:2])
        early = self.broken == "queries, then stores the event"
        saw = w._replace(todo=found)
        return [self._to(state, w, saw._replace(step="put") if early else self._offering(saw))]

    def _counts(self, world: World, w: Worker, sub: Sub) -> bool:
        """Whether the event may be for a subscription: delivered again, not for one that was put after it came, or by a task that has had it."""
        if not w.again or sub.by != NONE:
            return True
        apart = 0 if self.broken == "clocks are trusted" else APART
        had = sub.had and self.broken != "an event is given again"
        return not had and sub.armed <= world.came + apart

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
