"""What every step of the engine needs: the ports and the limits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.transitions.claim import MAX_CRASHES
from headrace.core.values import dataclass, replace
from headrace.core.waits.wake_up import Account
from headrace.engine.finished import FinishedChildren
from headrace.engine.recent import Recent
from headrace.errors import StackNotFound
from headrace.ports import (
    NEXT,
    Clock,
    Expressions,
    Ids,
    Outgoing,
    Ports,
    Queues,
    Received,
    ReplyQueues,
    Secrets,
    Store,
)

if TYPE_CHECKING:
    from headrace.core.durable.log import Entry, Part
    from headrace.core.waits.rate_limit import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    retention_s: int = 30 * 86_400
    record_target_bytes: int = 1024  # one write unit
    inline_final_bytes: int = (
        200 * 1024
    )  # the last output of a run may sit in the record up to this record size
    pack_outputs: bool = True  # with what a record holds already; sealed texts have nothing in common
    message_input_bytes: int = 200 * 1024  # a larger input does not ride in the start message
    item_bytes: int = 380 * 1024  # a larger payload is an object in S3 (DynamoDB: 400 KB an item)
    metadata_bytes: int = 64 * 1024  # as JSON: it is in the record and in every start message of a run
    payload_bytes: int = 4 * 1024 * 1024  # refused above (Hatchet's limit, PARITY I11)
    first_beat_s: float = 5.0
    beat_every_s: float = 10.0
    hold_s: float = 1.0  # a durable task waits so long for children before its invocation ends
    first_look_s: float = 2.5  # whether the run was cancelled: an eventually consistent read, between beats
    second_look_s: float = 10.0
    look_every_s: float = 3.0
    lease_s: float = 30.0  # what a beat grants; the first lease is the queue's visibility timeout
    grace_s: float = 1.0  # between asking code to stop and ending it
    max_crashes: int = MAX_CRASHES  # of workers under a task, before it is FAILED and kept as a dead letter
    commit_patience_s: float = (
        7_200.0  # how long a result waits for a store that does not answer, where its host has the time
    )


MOST_REMEMBERED = 2_000
"""How many things of a kind a process remembers, however many keys its limits have."""


class NoExpressions:
    """Stands where no CEL is wired: every expression is an error."""

    def evaluate(self, expression: str, variables: object) -> None:
        from headrace.errors import ExpressionError

        raise ExpressionError(f"no expression engine is wired to evaluate {expression!r}")


class Remembered:
    """What a process has read and goes by for a while."""

    def __init__(self) -> None:
        self._found: Mapping[str, Any] | None = None
        self._until_ms = 0

    def known(self, now_ms: int) -> Mapping[str, Any] | None:
        """What was read; None where nothing was, or it is too old."""
        return self._found if now_ms < self._until_ms else None

    def learn(self, found: Mapping[str, Any], until_ms: int) -> None:
        self._until_ms = until_ms
        self._found = found

    def forget(self) -> None:
        self._until_ms = 0


class Memory:
    """What a process has read of several things, each by its name, and goes by for a while."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, Any]] = {}

    def known(self, name: str, now_ms: int) -> Any:
        """What was read of it; None where nothing was, or it is too old."""
        until_ms, found = self._found.get(name, (0, None))
        return found if now_ms < until_ms else None

    def learn(self, name: str, found: Any, until_ms: int) -> None:
        self._found[name] = (until_ms, found)
        if len(self._found) > MOST_REMEMBERED:
            for oldest in list(self._found)[: MOST_REMEMBERED // 10]:
                self._found.pop(oldest, None)

    def forget(self) -> None:
        self._found = {}


def _no_workers() -> Collection[str]:
    return ()


def _no_limits() -> Mapping[str, int]:
    return {}


MOST_LOG_CHARS = 4_000_000
"""How much of sealed parts of durable logs a process keeps, by the length of their JSON: in memory they take about ten times as much."""


def _log_parts() -> Recent[tuple[str, str, Part], tuple[Entry, ...]]:
    return Recent(MOST_LOG_CHARS)


def _as_it_is(message: Received) -> Received:
    return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """`gate_limits`: what the deployed code says of gates, by name, which counts above the plans of runs; `worker:<name>` for the
    slots of a worker. `next_queues`: the workers that have a second queue. `own_plans`: the plans of the code at hand. `plans`: the hashes of those whose items are known to be in the
    table, each with the time until which runs may start with it (ms). `windows`, `paused`, `full` and `catalog`: what this process has seen of rate limits, of paused workflows, of full limits and of what
    is published. `children`: those of durable tasks that are over. `log_parts`: sealed parts of durable logs by run, task and name; what has a name never changes. `account`: the message in hand. `opened`: a message that Lambda has received, with its payloads opened."""

    store: Store
    queues: Queues
    clock: Clock
    ids: Ids
    secrets: Secrets | None = None
    replies: ReplyQueues | None = None
    zones: Callable[[str], Queues] | None = None
    expressions: Expressions = field(default_factory=NoExpressions)
    limits: Limits = field(default_factory=Limits)
    gate_limits: Callable[[], Mapping[str, int]] = _no_limits
    next_queues: Callable[[], Collection[str]] = _no_workers
    own_plans: Callable[[], Iterable[RunPlan]] = tuple
    opened: Callable[[Received], Received] = _as_it_is
    plans: dict[str, int] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)
    paused: Remembered = field(default_factory=Remembered)
    catalog: Memory = field(default_factory=Memory)
    full: Memory = field(default_factory=Memory)
    children: FinishedChildren = field(default_factory=FinishedChildren)
    log_parts: Recent[tuple[str, str, Part], tuple[Entry, ...]] = field(default_factory=_log_parts)
    account: Account = field(default_factory=Account)

    def acting_for(self, received: Received, message: str, *, redelivered: bool = False) -> Engine:
        """The same engine on the account of a message, named `message`, which was delivered as `received`."""
        account = Account(
            message=message,
            redelivered=redelivered or received.receive_count > 1,
            queued_ms=max(0, self.clock.now_ms() - received.sent_at_ms) if received.sent_at_ms else 0,
        )
        return replace(self, account=account)

    def next_queue(self, worker: str) -> str:
        """The queue of a worker for what goes on with a run that has started: wake-ups, refills, retries, continuations. Behind its new
        runs, they would wait for as long as its backlog is."""
        return worker + NEXT if worker in self.next_queues() else worker

    def queues_of(self, zone: str) -> Queues:
        """The queues of another zone: its runs are started by messages to them, and by nothing else."""
        return self.queues if self.zones is None else self.zones(zone)

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Send to a worker's queue, the first or the next. A stack that was deployed without the next one has the first."""
        try:
            self.queues.send(queue, messages)
        except StackNotFound:
            if not queue.endswith(NEXT):
                raise
            self.queues.send(queue.removesuffix(NEXT), messages)

    @staticmethod
    def on(
        ports: Ports,
        *,
        expressions: Expressions | None = None,
        limits: Limits | None = None,
        gate_limits: Callable[[], Mapping[str, int]] = _no_limits,
        next_queues: Callable[[], Collection[str]] = _no_workers,
        own_plans: Callable[[], Iterable[RunPlan]] = tuple,
        opened: Callable[[Received], Received] = _as_it_is,
    ) -> Engine:
        return Engine(
            store=ports.store,
            queues=ports.queues,
            clock=ports.clock,
            ids=ports.ids,
            secrets=ports.secrets,
            replies=ports.replies,
            zones=ports.zones,
            expressions=expressions or NoExpressions(),
            limits=limits or Limits(),
            gate_limits=gate_limits,
            next_queues=next_queues,
            own_plans=own_plans,
            opened=opened,
        )


PlanOf = Callable[[str], RunPlan | None]
"""The plan that the code at hand has for a workflow, by name."""
