"""A failing seed made small: the fewest faults and clients that still break it in the same way, and their story in words."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, cast

from greenlet import getcurrent

from headrace.core.changes import Delete, Item, Key, Put, Refused, Update, Write, Written
from headrace.core.run.message import BadMessage, RefillMessage, decode_message
from headrace.core.run.record import TaskStatus
from headrace.core.run.stored.rows import ROW_NAMES, status_code
from headrace.engine.attempts.ports import Work
from headrace.engine.engine import Engine
from headrace.memory.clock import START_MS
from headrace.ports import Outgoing, Queues, Received, Store
from headrace.runtime.deadline import Ending
from simulation.runner import RUN_ID, Broken, Cut, CutSimulation, Numbers, broken_by

SECONDS = 20.0
TRIES = 2_000
LINES = 120
WIDTH = 130

IN_WORDS = {
    "kill": "dies before {call}",
    "freeze": "is frozen before {call}, and goes on much later",
    "throttle": "{call} is refused before it has an effect",
    "lost": "{call} had its effect, and answers with an error",
    "retried": "{call} had its effect, its response is lost, and the client library calls again",
    "duplicate": "the message is delivered twice",
}
ATTRIBUTES = {short: name.removesuffix("_ms").replace("_", " ") for name, short in ROW_NAMES.items()}
STATUSES = {status_code(status): status.value for status in TaskStatus if status is not TaskStatus.WAITING}
UNTOLD = {ROW_NAMES[name] for name in ("status", "queued_at_ms", "started_at_ms", "finished_at_ms")}


# ---------------------------------------------------------------- the search


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """What is left of a failing seed. `minimal`: without any one of its faults or clients it holds, or fails otherwise."""

    cut: Cut
    before: Broken
    after: Broken
    tries: int
    seconds: float
    minimal: bool


def shrink(seed: int, *, seconds: float = SECONDS, tries: int = TRIES) -> Shrunk | None:
    """Delta debugging over clients and faults until a round finds nothing to leave out; None: the seed does not fail."""
    began = time.monotonic()
    before = broken_by(CutSimulation(seed, cut=Cut(seed=seed)))
    if before is None:
        return None
    search = _Search(seed=seed, before=before, best=before, ends=began + seconds, tries_left=tries)
    minimal = search.leave_out()
    while minimal and search.look_elsewhere():
        minimal = search.leave_out()
    return Shrunk(
        cut=Cut(seed=seed) if search.best is before else search.cut(search.best.faults, search.best.clients),
        before=before,
        after=search.best,
        tries=tries - search.tries_left,
        seconds=time.monotonic() - began,
        minimal=minimal,
    )


@dataclass(slots=True, kw_only=True)
class _Search:
    """The smallest failure so far, and how much longer to look for a smaller one."""

    seed: int
    before: Broken
    best: Broken
    ends: float
    tries_left: int

    @property
    def over(self) -> bool:
        return self.tries_left <= 0 or time.monotonic() > self.ends

    def leave_out(self) -> bool:
        """Parts of the smallest failure, until nothing is needless. Whether that was reached in time."""
        known = None
        while known != self.best and not self.over:
            known = self.best
            _leave_out(lambda: self.best.clients, lambda some: self.fails(clients=self.best.clients - some))
            _leave_out(lambda: self.best.faults, lambda some: self.fails(faults=self.best.faults - some))
        return not self.over

    def look_elsewhere(self) -> bool:
        """Every smaller world with one fault or none, the smallest first. One decision left out changes all that are drawn
        after it, so there are failures to which no way leads by leaving out."""
        everybody = sorted(self.before.clients)
        for size in range(1, len(everybody) + 1):
            for clients in map(frozenset, combinations(everybody, size)):
                if size >= self.best.size or self.over:
                    return False
                drawn = self.drawn_by(clients) if size + 1 < self.best.size else 0
                for faults in (frozenset[int](), *(frozenset((n,)) for n in range(drawn))):
                    if self.fails(faults=faults, clients=clients):
                        return True
        return False

    def cut(self, faults: frozenset[int], clients: frozenset[int]) -> Cut:
        """These and no others: what a changed course draws anew is suppressed as well."""
        return Cut(
            seed=self.seed,
            suppressed=Numbers.all_but(faults),
            without_clients=Numbers.of(self.before.clients - clients),
        )

    def fails(self, *, faults: frozenset[int] | None = None, clients: frozenset[int] | None = None) -> bool:
        """Whether the seed fails in the same way with these; then that is the smallest failure from now on."""
        if self.over:
            return False
        self.tries_left -= 1
        cut = self.cut(
            self.best.faults if faults is None else faults, self.best.clients if clients is None else clients
        )
        found = broken_by(CutSimulation(self.seed, cut=cut))
        if found is None or found.kind != self.before.kind:
            return False
        self.best = found
        return True

    def drawn_by(self, clients: frozenset[int]) -> int:
        """How many faults come up with these clients while none happens: no later one can be the only one."""
        sim = CutSimulation(self.seed, cut=self.cut(frozenset(), clients))
        broken_by(sim)
        return sim.drawn


def _leave_out(left: Callable[[], frozenset[int]], needless: Callable[[frozenset[int]], bool]) -> None:
    """All at once, then halves, then smaller parts, then one by one until none is needless. The last ones first:
    what was before them stays as it is."""
    size = len(left())
    while size:
        smaller = False
        numbers = sorted(left(), reverse=True)
        for at in range(0, len(numbers), size):
            part = frozenset(numbers[at : at + size]) & left()
            smaller = (bool(part) and needless(part)) or smaller
        if size == 1 and not smaller:
            return
        size = min(max(size // 2, 1), len(left()))


# ---------------------------------------------------------------- the story


def explain(seed: int, *, seconds: float = SECONDS) -> str | None:
    """Shrink a failing seed; its failure, minimal and in words, with the command that replays it. None: it does not fail."""
    shrunk = shrink(seed, seconds=seconds)
    if shrunk is None:
        return None
    before, after = shrunk.before, shrunk.after
    return "\n".join(
        (
            f"seed {seed}: {before.error}",
            f"shrunk from {_count(before)} to {_count(after)} in {shrunk.tries} tries, {shrunk.seconds:.1f} s"
            + ("" if shrunk.minimal else ": not minimal, the time was up"),
            *(retell(shrunk.cut) or ()),
        )
    )


def retell(cut: Cut, *, whole: bool = False) -> list[str] | None:
    """Run a part of a seed; its failure in lines, those of the run that it names or all. None: it does not fail."""
    told = ToldSimulation(cut.seed, cut=cut)
    broken = broken_by(told)
    if broken is None:
        return None
    named = RUN_ID.search(broken.error)
    lines = told.lines if whole or named is None else told.about(named.group())
    shown = [line.text for line in lines] if whole else _at_most(LINES, lines)
    return [*shown, f"=> {broken.error}", f"replay: {cut.command}"]


def _count(broken: Broken) -> str:
    return ", ".join(
        f"{len(numbers)} {name}{'' if len(numbers) == 1 else 's'}"
        for name, numbers in (("fault", broken.faults), ("client", broken.clients))
    )


def _at_most(limit: int, lines: Sequence[Line]) -> list[str]:
    """The beginning, the end, and every fault between them."""
    spare = max(limit - sum(line.is_fault for line in lines), 0)
    others = [n for n, line in enumerate(lines) if not line.is_fault]
    dropped = set(others[spare // 3 : len(others) - (spare - spare // 3)] if len(others) > spare else ())
    return [
        "          …" if n in dropped else line.text
        for n, line in enumerate(lines)
        if n not in dropped or n - 1 not in dropped
    ]


@dataclass(slots=True, kw_only=True)
class Line:
    """A step of a process, and the runs that it is about."""

    text: str
    who: object
    runs: frozenset[str]
    is_fault: bool


@dataclass
class ToldSimulation(CutSimulation):
    """A world that writes down what each call is about."""

    lines: list[Line] = field(default_factory=list)
    touched: dict[object, set[str]] = field(default_factory=lambda: defaultdict(set))
    calls: dict[object, str] = field(default_factory=dict)
    announced: set[object] = field(default_factory=set)
    names: dict[object, str] = field(default_factory=dict)
    namesakes: Counter[str] = field(default_factory=Counter)

    def about(self, run_id: str) -> list[Line]:
        """Every fault, and the steps of the processes that touched this run, but for those about other runs only."""
        return [
            line
            for line in self.lines
            if line.is_fault or run_id in line.runs or (not line.runs and run_id in self.touched[line.who])
        ]

    def tell(self, text: str, mentions: object = "", *, is_fault: bool = False) -> Line:
        who = getcurrent()
        runs = frozenset(RUN_ID.findall(f"{text}{mentions!r}"))
        if who.parent is not None:
            self.touched[who] |= runs
        short = RUN_ID.sub(lambda found: found.group()[:8], text)
        line = Line(
            text=f"{self.clock.now_ms() - START_MS:>9} {self._name_of(who):<22} {short[:WIDTH]}",
            who=who,
            runs=runs,
            is_fault=is_fault,
        )
        self.lines.append(line)
        return line

    def _name_of(self, who: object) -> str:
        """Two invocations of one message are told apart."""
        if who not in self.names:
            name = str(getattr(who, "name", "the world"))
            self.namesakes[name] += 1
            count = self.namesakes[name]
            self.names[who] = name if count == 1 else f"{name} ({count})"
        return self.names[who]

    def engine(self) -> Engine:
        engine = super().engine()
        return replace(
            engine,
            store=cast("Store", _ToldStore(engine.store, self)),
            queues=cast("Queues", _ToldPort(engine.queues, self)),
        )

    def step(self, port: str, call: str) -> None:
        who = getcurrent()
        self.calls[who] = f"{port}.{call}"
        if who in self.announced:
            self.announced.remove(who)
        else:
            self.tell(call)
        super().step(port, call)

    def hit(self, kind: str) -> bool:
        hit = super().hit(kind)
        if hit:
            words = IN_WORDS.get(kind, "at {call}").format(call=self.calls.get(getcurrent(), "a call"))
            self.tell(f"!! fault {self.drawn - 1}: {kind}: {words}", is_fault=True)
        return hit

    def _invoke(self, received: Received) -> None:
        self.tell(f"{_message(received)} goes to λ {received.queue} {received.message_id}", received.body)
        super()._invoke(received)

    def _runner(self, *arguments: Any, **options: Any) -> Ending:
        work = next(each for each in arguments if isinstance(each, Work))
        self.tell(f"runs the code of {work.task} of run {work.record.run_id}")
        return super()._runner(*arguments, **options)


class _ToldPort:
    """A port whose calls are written down."""

    def __init__(self, port: object, told: ToldSimulation) -> None:
        self._port = port
        self._told = told

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*arguments: Any, **options: Any) -> Any:
            line = self._told.tell(f"{name} {_words(arguments)}", (arguments, options))
            self._told.announced.add(getcurrent())
            result = method(*arguments, **options)
            self._told.announced.discard(getcurrent())  # a call that is no switch point
            if isinstance(result, Refused):
                line.text += " -> refused"
            return result

        return call


class _ToldStore(_ToldPort):
    """Many at once are one after the other in memory: each gets its line."""

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        return [self.write(write) for write in writes]

    def get_many(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        return [self.get(key, consistent=consistent) for key in keys]


# ---------------------------------------------------------------- the words


def _words(value: object) -> str:
    match value:
        case Key(pk, sk):
            return f"{pk} {sk}"
        case Put(key=key):
            return f"the item {_words(key)}"
        case Delete(key=key):
            return f"no more {_words(key)}"
        case Update(key=key):
            return f"{_words(key)}: {_changes(value)}"
        case Outgoing() | Received():
            return _message(value)
        case tuple() | list():
            return ", ".join(_words(each) for each in value)
        case _:
            return str(value)


def _changes(update: Update) -> str:
    return ", ".join(
        (
            *(_set(path, value) for path, value in update.sets.items()),
            *(f"{'.'.join(path)} + {_plain(value)}" for path, value in update.adds.items()),
            *(f"{'.'.join(path)} without {_plain(value)}" for path, value in update.takes.items()),
            *(f"no {'.'.join(path)}" for path in update.removes),
        )
    )


def _set(path: Sequence[str], value: object) -> str:
    """An attribute, or a task's row and what of it tells attempts apart."""
    match path, value:
        case ("tasks", task), {"s": str(code), **row}:
            told = (
                f"{ATTRIBUTES[name]} {_plain(each)}"
                for name, each in row.items()
                if name in ATTRIBUTES and name not in UNTOLD
            )
            return " ".join((task, STATUSES.get(code, code), *told))
        case ("tasks", task), str(packed):
            return f"{task} {STATUSES.get(packed[0], packed)}"
        case ("tasks", task, "s"), str(code):
            return f"{task} {STATUSES.get(code, code)}"
        case ("tasks", task, short), _:
            return f"{task} {ATTRIBUTES.get(short, short)} {_plain(value)}"
        case _:
            return f"{'.'.join(path)} = {_plain(value)}"


def _plain(value: object) -> str:
    """Times in milliseconds as those at the beginning of the lines."""
    if isinstance(value, int) and abs(value - START_MS) < 10**9:
        return str(value - START_MS)
    return str(sorted(value) if isinstance(value, frozenset) else value)[:60]


def _message(message: Outgoing | Received) -> str:
    try:
        ticket = decode_message(message.body)
    except BadMessage:
        return f"the message {message.body}"
    what = (
        f"the refill of {ticket.gate} for {_plain(ticket.at_ms)}"
        if isinstance(ticket, RefillMessage)
        else f"{ticket.name} of run {ticket.run_id}"
    )
    match message:
        case Outgoing(delay_s=delay_s):
            return f"{what} in {delay_s} s" if delay_s else what
        case Received(receive_count=count):
            return f"{what} (delivery {count})"
