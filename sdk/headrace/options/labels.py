"""Worker labels: which of the workers that register a task should run it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TypeAlias

from headrace.core.labels import DesiredWorkerLabel as DesiredWorkerLabel
from headrace.core.labels import Labels as Labels
from headrace.core.labels import RequiredLabel, met
from headrace.core.labels import WorkerLabelComparator as WorkerLabelComparator
from headrace.core.values import dataclass
from headrace.errors import DefinitionError, NotSupportedError


@dataclass(frozen=True, slots=True)
class WorkerLabel:
    """A label that a worker has."""

    key: str
    value: str | int


def worker_name(name: str) -> str:
    """A worker's name as queues and functions have it: what is no letter, digit, '-' or '_' becomes '-', so that `my worker` is
    the worker `my-worker`."""
    return re.sub("[^A-Za-z0-9_-]+", "-", name)


class StickyStrategy(StrEnum):
    """SOFT prefers the worker that ran the run's first task, HARD requires it."""

    SOFT = "SOFT"
    HARD = "HARD"


class SlotType(StrEnum):
    DEFAULT = "default"
    DURABLE = "durable"


DesiredLabels: TypeAlias = "Mapping[str, DesiredWorkerLabel] | Sequence[DesiredWorkerLabel] | None"


def desired_labels_of(
    labels: DesiredLabels, where: str = "desired_worker_labels"
) -> tuple[DesiredWorkerLabel, ...]:
    """The desired labels as a tuple, each with its key. DefinitionError, which begins with `where`, for one that cannot be met."""
    if labels is None:
        return ()
    if isinstance(labels, Mapping):
        labels = [replace(label, key=key) for key, label in labels.items()]
    for label in labels:
        if not isinstance(label, DesiredWorkerLabel):
            raise DefinitionError(f"{where} holds {label!r}: give DesiredWorkerLabel(key=..., value=...)")
        if not label.key:
            raise DefinitionError(
                f"{where} holds a DesiredWorkerLabel of value {label.value!r} without a key: give it key=..."
            )
        if not isinstance(label.value, str | int):
            raise DefinitionError(f"{where}: {label.key} is {label.value!r}: give a string or a whole number")
        if (label.comparator or 0) > WorkerLabelComparator.NOT_EQUAL and not isinstance(label.value, int):
            raise DefinitionError(f"{where}: {label} compares with a string: give a whole number")
    return tuple(labels)


def check_labels(labels: Labels | None, where: str) -> dict[str, str | int]:
    """A worker's labels as a dict of their own. DefinitionError where a value is neither a string nor a whole number."""
    for key, value in (labels or {}).items():
        if not isinstance(key, str) or not key or not isinstance(value, str | int):
            raise DefinitionError(f"{where}: label {key!r} is {value!r}: give a string or a whole number")
    return dict(labels or {})


def score(desired: Sequence[DesiredWorkerLabel], labels: Labels) -> int | None:
    """How well labels meet the desired ones: the weights of those met (100 by default); None where a required one is not."""
    total = 0
    for label in desired:
        found = met(int(label.comparator or 0), label.value, labels.get(label.key or ""))
        if label.required and not found:
            return None
        if found:
            total += 100 if label.weight is None else label.weight
    return total


def required(desired: Sequence[DesiredWorkerLabel]) -> tuple[RequiredLabel, ...]:
    """The required ones, as a run carries them."""
    return tuple(
        (label.key or "", int(label.comparator or 0), label.value) for label in desired if label.required
    )


# ---------------------------------------------------------------- the labels of a worker that runs


class WorkerLabels(Mapping[str, str | int]):
    """What a worker is labelled with: as declared, and what its process changed. Safe in any thread."""

    def __init__(self, worker: str, declared: Labels | None = None) -> None:
        self.declared: Labels = check_labels(declared, f"worker {worker}")
        """What placement at compile time and at the trigger goes by."""
        self._worker = worker
        self._now: dict[str, str | int] = dict(self.declared)
        self._lock = threading.Lock()
        self.changed: Callable[[], None] | None = None
        """Called after a change, in a process; None where there is none whose labels could change."""

    def __getitem__(self, key: str) -> str | int:
        return self._now[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def __repr__(self) -> str:
        return repr(self._now)

    def add(self, labels: Labels, where: str) -> None:
        """Add or replace labels without telling anybody."""
        checked = check_labels(labels, where)
        with self._lock:
            self._now = {**self._now, **checked}

    def upsert(self, labels: Labels) -> None:
        """Add or replace labels and announce them. NotSupportedError on a Lambda worker."""
        if self.changed is None:
            raise NotSupportedError(
                f"worker {self._worker}: labels change only in a process: a Lambda function has no long-lived process to "
                "carry them. Declare the worker with process=True and start it with worker.start()"
            )
        self.add(labels, f"worker {self._worker}: upsert_labels")
        self.changed()


# ---------------------------------------------------------------- choosing


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A worker that registers a workflow. `longest_ms`: the longest execution timeout its function has time for; None: any.

    `process`: it has processes only, whose labels may change. `known`: whether its labels are known here.
    """

    name: str
    labels: Labels
    process: bool = False
    longest_ms: int | None = None
    known: bool = True

    def has_time(self, seeker: Seeker) -> bool:
        return self.longest_ms is None or seeker.execution_timeout_ms <= self.longest_ms

    def __str__(self) -> str:
        if not self.known:
            return f"{self.name} has labels that are not known here"
        have = ", ".join(f"{key}={value!r}" for key, value in self.labels.items())
        return f"{self.name} has {have or 'no label'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeker:
    """A task that looks for its worker. Where it is sticky, `home` is the worker it prefers."""

    workflow: str
    name: str
    desired: Sequence[DesiredWorkerLabel] = ()
    execution_timeout_ms: int = 0

    @property
    def where(self) -> str:
        return f"task {self.name} of workflow {self.workflow}"


@dataclass(frozen=True, slots=True)
class Choice:
    """A task's worker, and the required labels that only some of its processes may meet."""

    worker: str
    waits_for: tuple[RequiredLabel, ...] = ()


Alive: TypeAlias = "Callable[[], Sequence[tuple[str, Labels]]]"
"""Looks up the processes that are alive: worker and labels of each."""


def no_process() -> Sequence[tuple[str, Labels]]:
    """At compile time no process is alive."""
    return ()


def assign(
    seekers: Sequence[Seeker],
    candidates: Sequence[Candidate],
    *,
    sticky: str = "",
    home: str | None = None,
    alive: Alive = no_process,
) -> dict[str, Choice]:
    """A worker for each task of a run. DefinitionError where one can run nowhere, or not where it has to stay.

    `sticky`: the workflow's strategy; then the first task's worker is the home of the others. `home`: the worker to stay on, where
    a parent says it: preferred, and with HARD required. `alive` is asked only where no candidate's own labels meet a
    required label and one of them has processes.
    """
    choices: dict[str, Choice] = {}
    for seeker in seekers:
        choice = choices[seeker.name] = _choose(
            seeker, candidates, home, hard=sticky == StickyStrategy.HARD, alive=alive
        )
        if sticky and home is None:
            home = choice.worker
    return choices


def _choose(
    seeker: Seeker, candidates: Sequence[Candidate], home: str | None, *, hard: bool, alive: Alive
) -> Choice:
    able = [each for each in candidates if each.has_time(seeker)] or list(candidates)
    if home is not None and hard:
        able = _only(home, seeker, able, candidates)
    fitting = {
        each.name: points for each in able if (points := score(seeker.desired, each.labels)) is not None
    }
    if home in fitting:
        return Choice(str(home))
    if fitting:
        return Choice(max(fitting, key=lambda name: fitting[name]))
    processes = [each.name for each in able if each.process]
    if not processes:
        raise DefinitionError(_nowhere(seeker, able, home if hard else None))
    if home in processes:
        processes.insert(0, str(home))
    return Choice(_alive_one(seeker, processes, home, alive()), required(seeker.desired))


def _only(
    home: str, seeker: Seeker, able: Sequence[Candidate], candidates: Sequence[Candidate]
) -> list[Candidate]:
    """The home of a task that has to stay there."""
    found = [each for each in able if each.name == home]
    if found:
        return found
    if any(each.name == home for each in candidates):
        raise DefinitionError(
            f"{seeker.where} has to stay on worker {home} (sticky is HARD), whose function ends before its execution_timeout of "
            f"{seeker.execution_timeout_ms / 1000:g} s: give it a shorter one, or make it SOFT"
        )
    names = ", ".join(each.name for each in candidates)
    raise DefinitionError(
        f"{seeker.where} has to stay on worker {home} (sticky is HARD), which does not register the workflow ({names} does): "
        "register it there, or make it SOFT"
    )


def _alive_one(
    seeker: Seeker, processes: Sequence[str], home: str | None, alive: Sequence[tuple[str, Labels]]
) -> str:
    """The worker of a live process that has the desired labels: home, or the best. The first one where none is alive that does."""
    meeting: dict[str, int] = {}
    for name, labels in alive:
        points = score(seeker.desired, labels)
        if points is not None:
            meeting[name] = max(points, meeting.get(name, points))
    if home in meeting:
        return str(home)
    return max((name for name in processes if name in meeting), key=meeting.__getitem__, default=processes[0])


def _nowhere(seeker: Seeker, able: Sequence[Candidate], home: str | None) -> str:
    wanted = ", ".join(str(label) for label in seeker.desired if label.required)
    if home is not None:
        return (
            f"{seeker.where} has to stay on worker {home} (sticky is HARD) and requires a worker with {wanted}; {able[0]}: "
            "give the worker that label, or make the workflow SOFT"
        )
    names = ", ".join(each.name for each in able)
    if not all(each.known for each in able):
        return (
            f"{seeker.where} requires a worker with {wanted}, but this process does not know the labels of those that register "
            f"it ({names}): import the module that declares them, or give desired_worker_id"
        )
    return (
        f"{seeker.where} requires a worker with {wanted}; of the workers that register it ({names}) none has such labels: "
        f"{'; '.join(str(each) for each in able)}. Give one that label, or register the workflow on a worker with process=True"
    )
