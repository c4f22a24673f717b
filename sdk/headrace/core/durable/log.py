"""The log of a durable task, as values.

A durable task runs again from its first line at every invocation. Its n-th durable operation is entry n of the log, its node.
The task goes on with what the log says, in the order in which the log says it was answered. The tail of the log is in the task's
row; the older, answered part is in items of its own, sealed (`engine.durable.log`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeAlias

from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass

MOST_OPEN = 5_000
"""Operations that nothing has answered: all of them are in the record, which has 400 KB (DynamoDB's limit of an item), at 70 bytes each."""

MOST_ENTRIES = 25_000
"""How many operations a durable task may make before it is FAILED: what is longer belongs in a child (Temporal warns at 10,240 and
ends at 51,200 events)."""

SEAL_AT_BYTES = 2_048
"""A tail that is longer is sealed: two write units a write."""

LONGEST_LABEL = 60
"""Characters of what people are shown an operation by: it is stored in each entry."""


class Kind(StrEnum):
    """What an entry is of."""

    RUN = "r"  # a child run
    WAIT = "w"  # sleeps and events
    MEMO = "m"  # a value that was made once


@dataclass(frozen=True, slots=True)
class SleepLeaf:
    """Time passes: until `due_at_ms`, which was fixed when the operation was first made. `key` names it in the result."""

    due_at_ms: int
    key: str


@dataclass(frozen=True, slots=True)
class EventLeaf:
    """An event of `event_key` comes: in `scope`, for which `expression` holds. `since_ms`: also one that came from then on."""

    event_key: str
    key: str
    scope: str | None = None
    expression: str | None = None
    since_ms: int | None = None


Leaf: TypeAlias = SleepLeaf | EventLeaf
Groups: TypeAlias = tuple[tuple[Leaf, ...], ...]
"""All of the groups; of each group any leaf."""


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A child that the operation started: its id, and the first index of the call that started it, which names its join."""

    run_id: str
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One operation. `asked`: a hash of what was asked for. `order`: its place among the answers, from 1; 0 while it is open.

    `result`: of an answered WAIT or MEMO. `given_up`: the task stopped waiting for it (its await was cancelled). `label`: what people
    are shown it by. `events`: those that answered it, by their short names.
    """

    node: int
    kind: Kind
    asked: str
    order: int = 0
    groups: Groups = ()
    child: ChildRun | None = None
    result: Json = None
    given_up: bool = False
    label: str = ""
    events: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return self.order == 0


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed part: an item beside the record, by its number and the attempt that wrote it. `tier`: how often it was merged."""

    number: int
    owner: str
    tier: int = 0


@dataclass(frozen=True, slots=True)
class Branch:
    """What a reset made of a log: the operations from `node` on are its own, those before are of the branches before it."""

    number: int
    node: int


FIRST_BRANCH = 0
"""The branch of a log that was never reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What the row holds: the sealed parts by name, the entries that are not sealed, by node, and the branches that the log has gone by, the
    last one its own."""

    parts: tuple[Part, ...] = ()
    entries: tuple[Entry, ...] = ()
    branches: tuple[Branch, ...] = ()

    @property
    def branch(self) -> int:
        """The branch that the log is."""
        return self.branches[-1].number if self.branches else FIRST_BRANCH


def branch_of(branches: Sequence[Branch], node: int) -> int:
    """The branch that an operation is of."""
    return next((each.number for each in reversed(branches) if node >= each.node), FIRST_BRANCH)


NO_LOG = Tail()


def hash_of(*asked: Json) -> str:
    """What stands in the log for what was asked: compared at replay."""
    text = _sorted(asked)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:10]


_sorted = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode
