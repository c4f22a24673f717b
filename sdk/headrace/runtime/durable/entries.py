"""The operations of a durable task: those of its log, and those that its code has added, by node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field

from headrace.core.durable.log import (
    LONGEST_LABEL,
    MOST_ENTRIES,
    MOST_OPEN,
    ChildRun,
    Entry,
    Groups,
    Kind,
    branch_of,
)
from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ErrorInfo
from headrace.core.values import dataclass, replace
from headrace.engine.attempts.ports import DurableLog
from headrace.errors import NonDeterminismError
from headrace.runtime.durable.invocation import Invocation

TOO_MANY_OPEN = (
    f"started more than {MOST_OPEN:,} children, sleeps and waits that nothing has answered yet: wait for some of them before it starts "
    "more, in calls of a few thousand, or start child runs that start the rest"
)
WORDS = {Kind.RUN: "a child run", Kind.WAIT: "a sleep or a wait", Kind.MEMO: "a memo"}


@dataclass(slots=True)
class Entries:
    """`fail`: ends the attempt, for good, with that error. `begun`: told of each new operation, and of what the code says that it is."""

    where: str
    task_external_id: str
    invocation: Invocation
    fail: Callable[[ErrorInfo], None]
    begun: Callable[[Entry, str], None]
    asked: int = 0
    _all: list[Entry] = field(default_factory=list)
    _last_order: int = 0
    _open: set[int] = field(default_factory=set)  # those that nothing has answered
    _nodes: dict[str, int] = field(default_factory=dict)  # the first operation of each child
    _given_up: set[int] = field(default_factory=set)  # by this code, not by that of an earlier invocation

    @property
    def log(self) -> DurableLog:
        return self.invocation.log

    def load(self) -> None:
        """Read the log; it may block."""
        self._all = self.log.load()
        self._last_order = max((entry.order for entry in self._all), default=0)
        self._open = {entry.node for entry in self._all if entry.open}
        for entry in self._all:
            self._note_child(entry)

    def forget(self) -> None:
        """Let go of what was read and added: it is in the log."""
        self._all, self._nodes = [], {}

    def answered(self, found: Iterable[Entry]) -> None:
        """The log says of these by now how they were answered."""
        for entry in found:
            self._all[entry.node] = entry
            self._open.discard(entry.node)
            self._last_order = max(self._last_order, entry.order)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, node: int) -> Entry:
        return self._all[node]

    def open_ones(self) -> list[Entry]:
        """All that nothing has answered."""
        return [self._all[node] for node in sorted(self._open)]

    def branches_of_next(self, count: int) -> list[int]:
        """The branches of the operations that come next."""
        return [branch_of(self.log.branches, self.asked + place) for place in range(count)]

    def node_of(self, run_id: str) -> int | None:
        """The operation that started a child; None where none did."""
        return self._nodes.get(run_id)

    def open(
        self, kind: Kind, asked: str, says: str, groups: Callable[[], Groups] | None, label: str
    ) -> Entry | None:
        """The next operation: what the log has at its place, or a new entry. None: the attempt has failed."""
        node, self.asked = self.asked, self.asked + 1
        if node < len(self._all):
            return self._recorded(node, kind, asked, says)
        if node >= MOST_ENTRIES:
            self.fail(
                ErrorInfo(
                    type="DurableLogTooLong",
                    message=f"{self.where} made {MOST_ENTRIES:,} durable operations: start a child run for the rest",
                )
            )
            return None
        if len(self._open) >= MOST_OPEN:
            self.fail(ErrorInfo(type="TooManyOpenOperations", message=f"{self.where} {TOO_MANY_OPEN}"))
            return None
        try:
            wanted = groups() if groups is not None else ()
        except ValueError as error:  # not raised into the code: another time it may be no error, and the code would go another way
            self.fail(ErrorInfo(type="ValueError", message=str(error)))
            return None
        entry = Entry(node=node, kind=kind, asked=asked, groups=wanted, label=label[:LONGEST_LABEL])
        self._all.append(entry)
        self._open.add(node)
        self.log.put([entry])  # before a later one is written: a log with a hole would be read as another
        self.begun(entry, says)
        return entry

    def _recorded(self, node: int, kind: Kind, asked: str, says: str) -> Entry | None:
        entry = self._all[node]
        if entry.kind is kind and entry.asked == asked:
            return entry
        logged = WORDS[entry.kind] + (" of other arguments" if entry.kind is kind else "")
        error = NonDeterminismError(
            self.task_external_id,
            self.invocation.count,
            f"Non-determinism in {self.where} at node {node}: the log has {logged}, the code asked for {says}. "
            f"A durable task must ask for the same operations in the same order each time it runs",
            node,
        )
        self.fail(ErrorInfo(type="NonDeterminismError", message=str(error)))
        return None

    def again(self, node: int) -> int:
        """The operation to wait for: where code waits again for one that it gave up, another with the same child."""
        entry = self._all[node]
        if node not in self._given_up:
            return node
        again = self.open(entry.kind, entry.asked, "the same again", lambda: entry.groups, entry.label)
        if again is None:
            return node
        if entry.child is not None and again.child is None:
            self.put(replace(again, child=entry.child))
        return again.node

    # ---- what is written down

    def put(self, entry: Entry) -> None:
        (self._open.add if entry.open else self._open.discard)(entry.node)
        self._all[entry.node] = entry
        self._note_child(entry)
        self.log.put([entry])

    def answer(self, entry: Entry, result: Json) -> None:
        """It is answered after all that were."""
        self.put(replace(entry, order=self._next_order(), result=result))

    def answer_all(self, found: Iterable[Entry]) -> list[Entry]:
        """Those of the entries that are still open are answered, in this order, after all that were. All of them as they were before."""
        before = [self._all[entry.node] for entry in found]
        for entry in found:
            if self._all[entry.node].open:
                self.put(replace(entry, order=self._next_order()))
        return before

    def start(self, entry: Entry, child: ChildRun) -> None:
        self.put(replace(entry, child=child))

    def give_up(self, node: int) -> None:
        """The code has stopped waiting: written down, so that a replay does the same."""
        self._given_up.add(node)
        entry = self._all[node]
        if entry.open:
            self.put(replace(entry, order=self._next_order(), given_up=True))

    def reopen(self, entries: Iterable[Entry]) -> None:
        """Wait on for what an earlier attempt gave up: its code went another way."""
        for entry in entries:
            self.put(replace(entry, order=0, given_up=False))

    def _next_order(self) -> int:
        self._last_order += 1
        return self._last_order

    def _note_child(self, entry: Entry) -> None:
        if entry.child is not None:
            self._nodes.setdefault(entry.child.run_id, entry.node)
