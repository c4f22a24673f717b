"""Port calls as values: a process that makes one stops there, and goes on once it is given the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from greenlet import getcurrent

from headrace.core.changes import Item, Key, Write, Written
from headrace.engine.attempts.ports import Disposition
from headrace.ports import Outgoing, Received


@dataclass(frozen=True, slots=True)
class Writes:
    """One conditional write."""

    write: Write


@dataclass(frozen=True, slots=True)
class Reads:
    """One item."""

    key: Key


@dataclass(frozen=True, slots=True)
class Queries:
    """Items of one partition, in order."""

    pk: str
    prefix: str
    after: str | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class Lists:
    """Entries of an index."""

    index: str
    pk: str
    low: str
    high: str
    limit: int | None
    newest_first: bool


@dataclass(frozen=True, slots=True)
class Sends:
    queue: str
    messages: tuple[Outgoing, ...]


@dataclass(frozen=True, slots=True)
class Deletes:
    """The process's own message."""


@dataclass(frozen=True, slots=True)
class Runs:
    """User code runs. The answer is whether it raises. `saw`: what it has seen of its durable operations. `goes_on`: it does not end here."""

    run_id: str
    task: str
    ticket: int
    owner: str
    saw: tuple[tuple[int, str], ...] = ()
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The process has come to its end; `verdict` is what a handler says of its message."""

    verdict: Disposition | None


@dataclass(frozen=True, slots=True)
class Broke:
    """The process raised what it must not."""

    error: str


Request: TypeAlias = Writes | Reads | Queries | Lists | Sends | Deletes | Runs | Ended | Broke

A = TypeVar("A")


def ask(request: Request, of: type[A]) -> A:
    """Stop here until the world answers."""
    parent = getcurrent().parent
    assert parent is not None
    answer: A = parent.switch(request)
    return answer


class AskedStore:
    """The Store port of a process."""

    def write(self, write: Write) -> Written:
        return ask(Writes(write), Written)  # type: ignore[arg-type]  # a union

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        return [self.write(write) for write in writes]

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        return ask(Reads(key), dict)

    def get_many(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        return [self.get(key) for key in keys]

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> list[Item]:
        return ask(Queries(pk, prefix, after, limit), list)

    def query_many(
        self, pks: Sequence[str], *, prefix: str = "", limit: int | None = None
    ) -> list[list[Item]]:
        return [self.query(pk, prefix=prefix, limit=limit) for pk in pks]

    def query_index(
        self,
        index: str,
        pk: str,
        *,
        low: str = "",
        high: str = "~",
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[Item]:
        return ask(Lists(index, pk, low, high, limit, newest_first), list)

    def put_blob(self, name: str, body: bytes) -> None:
        raise NotImplementedError

    def get_blob(self, name: str) -> bytes | None:
        raise NotImplementedError


class AskedQueues:
    """The Queues port of a process. Hiding a message says nothing here: time is the explorer's."""

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        ask(Sends(queue, tuple(messages)), type(None))

    def receive(
        self, queue: str, *, limit: int, wait_s: int, visibility_s: int | None = None
    ) -> list[Received]:
        raise NotImplementedError

    def delete(self, message: Received) -> None:
        ask(Deletes(), type(None))

    def delete_many(self, messages: Sequence[Received]) -> None:
        for message in messages:
            self.delete(message)

    def hide(self, message: Received, seconds: int) -> None:
        pass

    def known(self) -> Iterable[str]:
        return ()
