"""Durable tasks: they sleep and wait for events, are suspended meanwhile, and go on by their log.

    claim -> code -> arm -> (look back) -> look -> save, or suspend -> look after -> timer -> delete
    claim of a suspended task: look -> resume, with what is answered written down in its order -> disarm -> code
    an event: put it -> query subscriptions -> satisfy each -> wake -> delete

A wake-up is the message of the current ticket and says nothing: what is answered is looked up. A program is steps; what a step waits for it
waits for together, and code sees the answers in the order in which the log has them, the same at every replay.

Each process has a clock of its own. A message whose worker was lost comes again later than any two clocks differ, as its visibility does.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol.model import CANCELLED, COMPLETED, FLIGHT, QUEUED, READY, RUNNING, Faults
from protocol.suspension_events import EventHandler
from protocol.suspension_values import (
    BACK,
    CANCEL,
    CRASH,
    DUP,
    EVENT,
    EVENTS_TO,
    FAIL,
    NONE,
    SLEEP,
    SLEEPS,
    SUSPENDED,
    TICKETS,
    VISIBLE_AFTER,
    WORKERS,
    ZOMBIE,
    Entry,
    Log,
    Message,
    Move,
    Program,
    Run,
    Sub,
    WaitState,
    Worker,
    World,
    again,
    answered,
    disowned,
    given,
    nodes_of,
    put,
    replaced,
    spent,
    swapped,
    with_run,
    without,
)


class Suspensions(EventHandler):
    """Runs of these programs, and one event. `early`: how often time passes while something happens. `skews`: how many processes
    have a clock that is fast or slow by one."""

    def __init__(
        self,
        *programs: Program,
        faults: Faults | None = None,
        early: int = 0,
        skews: int = 0,
        event: bool = True,
        broken: str = "",
    ) -> None:
        found = faults or Faults()
        self.programs = programs
        self.ops = [tuple(op for step in program for op in step) for program in programs]
        self.budget = (found.crash, found.dup, found.zombie, found.fail, found.cancel)
        self.early, self.skews, self.event, self.broken = early, skews, event, broken
        self.steps: dict[str, Callable[[WaitState, Worker], list[Move]]] = {
            name: getattr(self, f"_{name}")
            for name in (
                *(
                    "claim",
                    "look",
                    "look_again",
                    "resume",
                    "disarm",
                    "arm",
                    "back",
                    "satisfy",
                    "hold",
                    "save",
                    "suspend",
                ),
                *("after", "wake", "timer", "send_on", "commit", "resend", "delete", "end"),
                *("put", "query", "offer", "find", "send"),
            )
        }

    def first(self) -> WaitState:
        runs = tuple(Run() for _ in self.programs)
        seen: tuple[tuple[tuple[int, str], ...], ...] = ((),) * len(runs)
        world = World(
            runs, (), (), seen, (), not self.event, NONE, NONE, 0, self.early, self.skews, self.budget
        )
        return world, tuple(Message(run, 1) for run in range(len(runs)))

    # ------------------------------------------------------------ what must hold

    def wrong(self, state: WaitState) -> str | None:
        world, msgs = state
        if any(run.ticket > TICKETS for run in world.runs):
            return "livelock"
        if msgs or world.workers:
            return None
        for number, run in enumerate(world.runs):
            if run.status in (COMPLETED, CANCELLED):
                continue
            if run.status != SUSPENDED:
                return f"run {number} is {run.status}, and nothing will run it"
            why = self._lost(world, number, run)
            if why is not None:
                return f"run {number} is suspended for good: {why}"
        return None

    def _lost(self, world: World, number: int, run: Run) -> str | None:
        """What a run at rest should have been woken by."""
        for node, entry in enumerate(run.log):
            op = self.ops[number][node]
            if entry.order:
                continue
            if SLEEP in op:
                return "its sleep is over"
            if (number, node) in world.owed or (BACK in op and world.pushed):
                return "its event has come"
            if any(sub[:2] == (number, node) and sub.by != NONE for sub in world.subs):
                return "its subscription holds an event"
        return None

    # ------------------------------------------------------------ what may happen

    def successors(self, state: WaitState) -> list[Move]:
        world, msgs = state
        out: list[Move] = []
        if len(world.workers) < WORKERS:
            out.extend(self._deliveries(state))
        if not world.pushed:
            owed = tuple((sub.run, sub.node) for sub in world.subs)
            pushed = world._replace(pushed=True, owed=owed)
            out.append((("push",), (pushed, put(msgs, Message(EVENTS_TO, world.time, world.time)))))
        coming = [message.due for message in msgs if message.due > world.time]
        if coming and not world.workers and len(coming) == len(msgs):
            out.append((("time passes",), (world._replace(time=min(coming)), msgs)))
        elif world.early:
            later = world._replace(time=world.time + 1, early=world.early - 1)
            out.append((("time passes early",), (later, msgs)))
        if world.budget[CANCEL]:
            out.extend(self._cancels(state))
        for worker in dict.fromkeys(world.workers):
            out.extend(self.steps[worker.step](state, worker))
            out.extend(self._faults(state, worker))
        return out

    def _deliveries(self, state: WaitState) -> list[Move]:
        world, msgs = state
        out: list[Move] = []
        for message in dict.fromkeys(msgs):
            if message.due > world.time or (message.where == FLIGHT and not world.budget[DUP]):
                continue
            taken = message._replace(where=FLIGHT)
            name = "deliver" if message.where == READY else "duplicate"
            now = world if message.where == READY else world._replace(budget=spent(world, DUP))
            left = put(without(msgs, message), taken)
            for skew in (0, -1, 1) if world.skews else (0,):
                step = "put" if message.to == EVENTS_TO else "claim"
                if skew and message.to == EVENTS_TO:
                    continue
                came = Worker(taken, self._first_step(step), skew)
                with_it = now._replace(workers=put(now.workers, came), skews=now.skews - abs(skew))
                out.append(((name, message.to, message.number, skew), (with_it, left)))
        return out

    def _first_step(self, step: str) -> str:
        return "query" if step == "put" and self.broken == "queries, then stores the event" else step

    def _cancels(self, state: WaitState) -> list[Move]:
        world, msgs = state
        out: list[Move] = []
        for number, run in enumerate(world.runs):
            if run.status in (COMPLETED, CANCELLED):
                continue
            marked = disowned(with_run(world, number, run._replace(status=CANCELLED)), number)
            open_nodes = tuple(node for node, entry in enumerate(run.log) if not entry.order)
            who = Worker(Message(number, 0, 0, FLIGHT), "end", todo=open_nodes)
            marked = marked._replace(workers=put(marked.workers, who), budget=spent(world, CANCEL))
            out.append((("cancel", number), (marked, msgs)))
        return out

    def _faults(self, state: WaitState, worker: Worker) -> list[Move]:
        world, msgs = state
        out: list[Move] = []
        back = again(msgs, worker.message, world.time + VISIBLE_AFTER)
        if world.budget[CRASH]:
            rest = world._replace(workers=without(world.workers, worker), budget=spent(world, CRASH))
            out.append((("crash", worker.step, worker.message.to), (rest, back)))
        if world.budget[ZOMBIE] and worker.leased:
            frozen = swapped(world, worker, worker._replace(leased=False))
            now = again(msgs, worker.message, world.time)
            out.append(
                (
                    ("freeze", worker.step, worker.message.to),
                    (frozen._replace(budget=spent(world, ZOMBIE)), now),
                )
            )
        return out

    # ------------------------------------------------------------ claims

    def _claim(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        number, ticket = w.message.to, w.message.number
        run = world.runs[number]
        if run.status == SUSPENDED and run.ticket > ticket and self.broken == "a stale timer resumes":
            return [self._to(state, w, self._trusting(world, w, run))]
        if run.status in (COMPLETED, CANCELLED) or run.ticket > ticket:
            return [self._to(state, w, self._stale(w, run))]
        if run.status == SUSPENDED:
            return [self._to(state, w, w._replace(step="look", log=run.log))]
        if run.status == RUNNING and any(
            each.owns and each.leased and each.message.to == number for each in world.workers
        ):
            left = world._replace(workers=without(world.workers, w))
            return [(("busy", number), (left, again(msgs, w.message, w.message.due)))]
        claimed = with_run(disowned(world, number), number, run._replace(status=RUNNING))
        return self._code((claimed, msgs), w, w._replace(owns=True, log=run.log))

    def _stale(self, w: Worker, run: Run) -> Worker:
        """What the record owes on account of a ticket that is used."""
        repairs = run.ticket == w.message.number + 1 and self.broken != "a stale delivery repairs nothing"
        if repairs and run.status == SUSPENDED:
            return w._replace(step="after", log=run.log, todo=(run.due,))
        if repairs and run.status == QUEUED:
            return w._replace(step="resend")
        return w._replace(step="delete")

    def _trusting(self, world: World, w: Worker, run: Run) -> Worker:
        """A mistake: a message of an earlier ticket is taken for the answer of what the task sleeps for now."""
        number = w.message.to
        for node, entry in enumerate(run.log):
            if not entry.order and SLEEP in self.ops[number][node]:
                log = answered(run.log, [(node, "S")])
                return w._replace(step="resume", message=w.message._replace(number=run.ticket), log=log)
        return w._replace(step="delete")

    def _facts(self, world: World, w: Worker, log: Log) -> list[tuple[int, str]]:
        """The open operations that are answered by now, in order, each with what brought the answer."""
        number, now = w.message.to, world.time + w.skew
        found: list[tuple[int, int, str]] = []
        for node, entry in enumerate(log):
            if entry.order:
                continue
            op = self.ops[number][node]
            times: dict[str, int] = {}
            if SLEEP in op and entry.due <= now:
                times["S"] = entry.due
            by = next((sub.by for sub in world.subs if sub[:2] == (number, node)), NONE)
            if by != NONE:
                times["E"] = by
            if times:
                found.append((min(times.values()), node, "".join(times)))
        return [(node, brought) for _, node, brought in sorted(found)]

    def _look(self, state: WaitState, w: Worker) -> list[Move]:
        """Of a suspended task, whose message has come."""
        world, _ = state
        found = self._facts(world, w, w.log)
        if found:
            then = w._replace(step="resume", log=answered(w.log, found), todo=nodes_of(found))
            return [self._to(state, w, then, str(found))]
        due = self._next_due(world, w)
        return [self._to(state, w, w._replace(step="look_again", todo=(due,)))]

    def _look_again(self, state: WaitState, w: Worker) -> list[Move]:
        """Nothing was found: a later delivery of the message may have claimed meanwhile, and taken the answers. Then the message is its own."""
        run, (due,) = state[0].runs[w.message.to], w.todo
        if (run.status, run.ticket) != (SUSPENDED, w.message.number) and self.broken != "looks once":
            return [self._to(state, w, w._replace(step="claim", todo=(), log=()))]
        return [self._to(state, w, w._replace(step="send_on" if due != NONE else "delete"))]

    def _resume(self, state: WaitState, w: Worker) -> list[Move]:
        world, _ = state
        number, ticket = w.message.to, w.message.number
        run = world.runs[number]
        if run.status != SUSPENDED or run.ticket != ticket:
            return [self._to(state, w, w._replace(step="claim", todo=(), log=()))]
        log = run.log if self.broken == "the order is not written" else w.log
        claimed = with_run(disowned(world, number), number, Run(RUNNING, ticket, log))
        return [self._to((claimed, state[1]), w, w._replace(step="disarm", owns=True))]

    def _disarm(self, state: WaitState, w: Worker) -> list[Move]:
        """Subscriptions of what is answered go; then code goes on."""
        world, msgs = state
        subbed = [node for node in w.todo if any(sub[:2] == (w.message.to, node) for sub in world.subs)]
        if not subbed:
            return self._code(state, w, w._replace(todo=()))
        subs = tuple(sub for sub in world.subs if sub[:2] != (w.message.to, subbed[0]))
        return [self._to((world._replace(subs=subs), msgs), w, w._replace(todo=tuple(subbed[1:])))]

    # ------------------------------------------------------------ code

    def _code(self, state: WaitState, old: Worker, w: Worker) -> list[Move]:
        """Code sees what is answered, as far as it gets, and asks for the operations of its next step."""
        world, msgs = state
        number = w.message.to
        view = self._view(number, w.log)
        known = world.seen[number]
        common = min(len(view), len(known))
        if view[:common] != known[:common]:
            return [((f"!code saw {known}, and at a replay {view}",), state)]
        if self._twice(number, w.log):
            return [(("!one event answered two waits, one after the other",), state)]
        if self._too_early(world, number, w.log):
            return [(("!a sleep ended before its time",), state)]
        if len(view) > len(known):
            world = world._replace(seen=replaced(world.seen, number, view))
        node = 0
        for step in self.programs[number]:
            asked = range(node, node + len(step))
            node += len(step)
            if len(w.log) < node:
                due = world.time + w.skew + SLEEPS
                w = w._replace(log=(*w.log, *(Entry(due if SLEEP in op else NONE) for op in step)))
            if any(not w.log[each].order for each in asked):
                waits = tuple(
                    each
                    for each in asked
                    if not w.log[each].order and {EVENT, BACK} & {*self.ops[number][each]}
                )
                then = w._replace(step="arm" if waits else "hold", todo=waits)
                return [self._to((world, msgs), old, self._looking_back_first(then))]
        return [self._to((world, msgs), old, w._replace(step="commit", todo=()))]

    def _looking_back_first(self, w: Worker) -> Worker:
        early = w.step == "arm" and self.broken == "looks back, then subscribes"
        return w._replace(step="back") if early else w

    def _view(self, number: int, log: Log) -> tuple[tuple[int, str], ...]:
        answered = sorted((entry.order, node, entry.brought) for node, entry in enumerate(log) if entry.order)
        return tuple((node, brought) for _, node, brought in answered)

    def _twice(self, number: int, log: Log) -> bool:
        """There is one event, so it answers one step; those that look back may find it again."""
        steps = [number_of for number_of, step in enumerate(self.programs[number]) for _ in step]
        answered = {
            steps[node]
            for node, entry in enumerate(log)
            if "E" in entry.brought and BACK not in self.ops[number][node]
        }
        return len(answered) > 1

    def _too_early(self, world: World, number: int, log: Log) -> bool:
        """Clocks differ by one at most."""
        ahead = 1 if self.skews else 0
        return any(entry.order and entry.brought == "S" and entry.due > world.time + ahead for entry in log)

    def _arm(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        place = (w.message.to, w.todo[0])
        there = any(sub[:2] == place for sub in world.subs)
        subs = world.subs
        if self.broken == "arming twice loses the event":
            there, subs = False, tuple(sub for sub in subs if sub[:2] != place)
        had = any("E" in entry.brought for entry in w.log)
        after = (
            world if there else world._replace(subs=put(subs, Sub(*place, NONE, world.time + w.skew, had)))
        )
        return [self._to((after, msgs), w, self._armed(w))]

    def _armed(self, w: Worker) -> Worker:
        """On to the look back, or to the next."""
        back = BACK in self.ops[w.message.to][w.todo[0]]
        if back and self.broken != "looks back, then subscribes":
            return w._replace(step="back")
        return self._next_of(w)

    def _next_of(self, w: Worker) -> Worker:
        left = w.todo[1:]
        return self._looking_back_first(w._replace(step="arm" if left else "hold", todo=left))

    def _back(self, state: WaitState, w: Worker) -> list[Move]:
        world, _ = state
        early = self.broken == "looks back, then subscribes"
        if BACK in self.ops[w.message.to][w.todo[0]] and world.stored != NONE:
            return [self._to(state, w, w._replace(step="satisfy"), "found")]
        return [self._to(state, w, w._replace(step="arm") if early else self._next_of(w))]

    def _satisfy(self, state: WaitState, w: Worker) -> list[Move]:
        """Who looks back writes the event in, as who handles it does."""
        world, msgs = state
        place = (w.message.to, w.todo[0])
        subs = world.subs
        if self.broken == "looks back, then subscribes" and not any(sub[:2] == place for sub in subs):
            subs = put(subs, Sub(*place))
        return [self._to((world._replace(subs=given(subs, place, world.stored)), msgs), w, self._next_of(w))]

    def _hold(self, state: WaitState, w: Worker) -> list[Move]:
        found = self._facts(state[0], w, w.log)
        if found:
            then = w._replace(step="save", log=answered(w.log, found), todo=nodes_of(found))
            return [self._to(state, w, then, str(found))]
        return [self._to(state, w, w._replace(step="suspend"))]

    def _save(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        number = w.message.to
        if not w.owns:
            return self._fenced(state, w)
        if self.broken != "the order is not written":
            world = with_run(world, number, world.runs[number]._replace(log=w.log))
        return [self._to((world, msgs), w, w._replace(step="disarm"))]

    def _suspend(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        number, ticket = w.message.to, w.message.number
        if not w.owns:
            return self._fenced(state, w)
        due = self._next_due(world, w)
        world = with_run(world, number, Run(SUSPENDED, ticket + 1, w.log, due))
        step = "timer" if self.broken == "no look after the suspension" else "after"
        return [self._to((world, msgs), w, w._replace(step=step, owns=False, todo=(due,)))]

    def _next_due(self, world: World, w: Worker) -> int:
        """When the next sleep is over, by the process's own clock; what is over already is looked up."""
        dues = [
            entry.due
            for node, entry in enumerate(w.log)
            if not entry.order and SLEEP in self.ops[w.message.to][node] and entry.due > world.time + w.skew
        ]
        return min(dues, default=NONE)

    def _fenced(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        over = world.runs[w.message.to].status in (COMPLETED, CANCELLED)
        if over:
            return [self._to(state, w, w._replace(step="delete"), "over")]
        return [(("fenced", w.message.to), (world._replace(workers=without(world.workers, w)), msgs))]

    def _commit(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        number, ticket = w.message.to, w.message.number
        if not w.owns:
            return self._fenced(state, w)
        done = with_run(world, number, world.runs[number]._replace(status=COMPLETED))
        out = [self._to((done, msgs), w, w._replace(step="delete", owns=False), COMPLETED)]
        if world.budget[FAIL]:
            log = () if self.broken == "a retry forgets the log" else world.runs[number].log
            again = with_run(world, number, Run(QUEUED, ticket + 1, log))
            raises = w._replace(step="resend", owns=False)
            out.append(self._to((again._replace(budget=spent(world, FAIL)), msgs), w, raises, "raises"))
        return out

    # ------------------------------------------------------------ what is owed

    def _after(self, state: WaitState, w: Worker) -> list[Move]:
        """The look after the suspension: an answer of just before has woken no task."""
        found = self._facts(state[0], w, w.log)
        return [self._to(state, w, w._replace(step="wake" if found else "timer"), str(found))]

    def _wake(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        sent = put(msgs, Message(w.message.to, w.message.number + 1, world.time))
        return [self._to((world, sent), w, w._replace(step="timer"))]

    def _timer(self, state: WaitState, w: Worker) -> list[Move]:
        """The message of the ticket, delayed: by how much is said by the process's own clock."""
        world, msgs = state
        (due,) = w.todo
        if due != NONE:
            at = max(world.time, due - w.skew)
            msgs = put(msgs, Message(w.message.to, w.message.number + 1, at))
        return [self._to((world, msgs), w, w._replace(step="delete", todo=()))]

    def _send_on(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        (due,) = w.todo
        at = max(world.time, due - w.skew)
        sent = put(msgs, Message(w.message.to, w.message.number, at))
        return [self._to((world, sent), w, w._replace(step="delete", todo=()))]

    def _resend(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        sent = put(msgs, Message(w.message.to, w.message.number + 1, world.time))
        return [self._to((world, sent), w, w._replace(step="delete", todo=()))]

    def _delete(self, state: WaitState, w: Worker) -> list[Move]:
        world, msgs = state
        left = world._replace(workers=without(world.workers, w))
        return [(("delete", w.message.to, w.message.number), (left, without(msgs, w.message)))]

    def _end(self, state: WaitState, w: Worker) -> list[Move]:
        """Who cancels takes the subscriptions away; whom it dies on is met by the event."""
        world, msgs = state
        gone = {(w.message.to, node) for node in w.todo}
        subs = tuple(sub for sub in world.subs if sub[:2] not in gone)
        return [(("end", w.message.to), (world._replace(subs=subs, workers=without(world.workers, w)), msgs))]
