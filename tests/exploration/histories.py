"""What a process asks next, given all the answers it had: computed by the real engine, and once only.

A process is determined by what it was started for and by the answers to its port calls. So its histories form a tree, in which a
state of the world points to one node for each process that is alive. A greenlet cannot be copied: where a history branches off
one that went on, it is played again from its beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from greenlet import greenlet

from exploration.durable import DurableCode
from exploration.plan import WORKER, Plan
from exploration.requests import AskedQueues, AskedStore, Broke, Ended, Request, Runs, ask
from exploration.rows import Row, Who
from headrace.core.events.envelopes import events_of
from headrace.core.run.record import ErrorInfo
from headrace.core.waits.rate_limit import Window
from headrace.engine.attempts.ports import (
    Disposition,
    Done,
    Host,
    Later,
    Outcome,
    Raised,
    Runnable,
    Succeeded,
    Work,
)
from headrace.engine.clock.tick import tick
from headrace.engine.engine import Engine, Memory
from headrace.engine.events.handle import handle
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.engine.owed.cancel import cancel
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.engine.waits.conditions import wake_suspended
from headrace.ports import Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending

VISIBILITY_S = 40_000
MOST_ALIVE = 3_000
"""Greenlets kept for the next step of their histories; older ones are played again where needed."""


class Spec(NamedTuple):
    """What a process is started for: a message of a task or of an event (`body`), a run to cancel, or the clock."""

    kind: str
    subject: str
    body: str
    ordinal: int  # which of those alive, or remembered, by that subject

    @property
    def who(self) -> Who:
        return (self.subject, self.ordinal)


class Answer(NamedTuple):
    """What a request came to, and when."""

    value: object
    now_ms: int


class Node:
    """A history. `children`: by what the request saw, and when."""

    __slots__ = ("answer", "children", "names", "number", "parent", "request", "running", "spec")

    def __init__(
        self, number: int, spec: Spec, parent: Node | None, answer: Answer, names: frozenset[Who]
    ) -> None:
        self.number = number
        self.spec = spec
        self.parent = parent
        self.answer = answer
        self.names = names
        self.request: Request = Ended(None)
        self.running: _Process | None = None
        self.children: dict[tuple[object, int], tuple[Node, Row | None]] = {}


@dataclass(slots=True)
class _Clock:
    now: int = 0

    def now_ms(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Only this process sleeps: what others do meanwhile they can do before or after."""
        self.now += int(seconds * 1000)


class _Full(Memory):
    """Of every limit it has been seen that it is full."""

    def known(self, name: str, now_ms: int) -> bool:
        return True


@dataclass(slots=True)
class _Ids:
    spec: Spec
    drawn: int = 0

    def run_id(self) -> str:
        return self.owner()

    def owner(self) -> str:
        self.drawn += 1
        return f"~{self.spec.subject}:{self.spec.ordinal}:{self.drawn}"


@dataclass(slots=True)
class _Code:
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        attempt = work.attempt
        raises = ask(Runs(attempt.run_id, attempt.task, attempt.ticket, attempt.owner), bool)
        return Raised(ErrorInfo(type="E", message="this time")) if raises else Succeeded(None)

    async def acall(self, work: Work) -> Outcome:
        raise NotImplementedError


def _run(
    engine: Engine, host: Host, claimed: Claimed, control: LiveControl, runnable: Runnable, work: Work
) -> Ending:
    return runnable.call(work)


@dataclass(slots=True)
class _Process:
    """A greenlet in which the engine runs."""

    plan: Plan
    spec: Spec
    windows: dict[str, Window]
    clock: _Clock = field(default_factory=_Clock)
    body: greenlet = field(init=False)

    def __post_init__(self) -> None:
        self.body = greenlet(self._live)

    def go_on(self, answer: Answer) -> Request:
        self.clock.now = answer.now_ms
        request: Request = self.body.switch(answer.value) if self.body else self.body.switch()
        return request

    def _live(self) -> Request:
        try:
            return Ended(self._do())
        except Exception as error:  # noqa: BLE001  # whatever the engine raises is a finding
            return Broke(f"{type(error).__name__}: {error}")

    def _do(self) -> Disposition | None:
        engine = Engine(
            store=AskedStore(),
            queues=AskedQueues(),
            clock=self.clock,
            ids=_Ids(self.spec),
            gate_limits=lambda: self.plan.limits,
            windows=dict(self.windows),
            full=_Full() if self.plan.warm else Memory(),
        )
        match self.spec.kind:
            case "cancel":
                cancel(engine, self.spec.subject.removeprefix("cancel "))
                return None
            case "tick":
                tick(engine)
                return None
            case "event":
                return self._event(engine)
            case _:
                return self._deliver(engine)

    def _deliver(self, engine: Engine) -> Disposition:
        workflow = self.plan.workflow
        code: dict[tuple[str, str], Runnable] = {
            (workflow.workflow, task.name): DurableCode(self.plan.program) if self.plan.program else _Code()
            for task in workflow.tasks
        }
        host = Host(worker=WORKER, runnables=code, visibility_s=VISIBILITY_S)
        received = self._received(WORKER)
        verdict = deliver(engine, host, received, runner=_run)
        if isinstance(verdict, Done):
            engine.queues.delete(received)
        return verdict

    def _event(self, engine: Engine) -> Disposition:
        """As the function of the events' queue."""
        for event, page in events_of(self.spec.body, str, now_ms=self.clock.now_ms()):
            handled = handle(engine, event, page, start=_starts_nothing, wake=wake_suspended)
            if handled.later_s:
                return Later(handled.later_s, "another delivery may be at work")
        engine.queues.delete(self._received(EVENTS_QUEUE))
        return Done()

    def _received(self, queue: str) -> Received:
        return Received(
            queue=queue, body=self.spec.body, receipt="r", receive_count=1, sent_at_ms=0, message_id="m"
        )


def _starts_nothing(wanted: Sequence[object]) -> Sequence[str]:
    raise AssertionError(f"nothing starts by an event here: {wanted}")


class Histories:
    """The tree."""

    def __init__(self, plan: Plan, windows: dict[str, Window]) -> None:
        self._plan = plan
        self._windows = windows if plan.warm else {}
        self._roots: dict[tuple[Spec, int], Node] = {}
        self.count = 0
        self._alive: deque[Node] = deque()
        self.replays = 0

    def first(self, spec: Spec, now_ms: int) -> Node:
        node = self._roots.get((spec, now_ms))
        if node is None:
            node = Node(self._number(), spec, None, Answer(None, now_ms), frozenset({spec.who}))
            self._start(node, _Process(self._plan, spec, self._windows))
            self._roots[spec, now_ms] = node
        return node

    def next(self, node: Node, answer: Answer, seen: frozenset[Who]) -> Node:
        """The history that `answer` continues. `seen`: whom it tells of."""
        child = Node(self._number(), node.spec, node, answer, node.names | seen)
        process, node.running = node.running, None
        self._start(child, process or self._again(node))
        return child

    def _number(self) -> int:
        self.count += 1
        return self.count

    def _start(self, node: Node, process: _Process) -> None:
        node.request = process.go_on(node.answer)
        if isinstance(node.request, Ended | Broke):
            return
        node.running = process
        self._alive.append(node)
        if len(self._alive) > MOST_ALIVE:
            self._alive.popleft().running = None

    def _again(self, node: Node) -> _Process:
        self.replays += 1
        answers: list[Answer] = []
        at: Node | None = node
        while at is not None:
            answers.append(at.answer)
            at = at.parent
        process = _Process(self._plan, node.spec, self._windows)
        request: Request = Ended(None)
        for answer in reversed(answers):
            request = process.go_on(answer)
        assert request == node.request, "a process does not do the same again"
        return process
