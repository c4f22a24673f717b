"""The ports between the engine and the world: Store, Queues and Clock. Each has an AWS adapter and one in memory.

Faults: an adapter raises `headrace.errors.StoreUnavailable` / `QueueUnavailable` where a call may be tried again
(throttling, time-outs, 5xx: the effect may or may not have happened), `AccessDenied` / `StackNotFound` where a
person has to act. A caller of a port must be correct whichever of these is raised at any call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from headrace.core.changes import Item, Key, Write, Written
from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass

NEXT = "-next"
"""What the second queue of a worker is named: its name and this. It takes messages of runs that have started, past those of new runs."""

MAX_DELAY_S = 900
"""The longest delay of an SQS message, in seconds (SendMessage, DelaySeconds)."""

MAX_MESSAGE_BYTES = 1_048_576
"""The largest SQS message and the largest batch, in bytes (SQS quotas, since August 2025)."""

MAX_ITEM_BYTES = 400 * 1024
"""The largest DynamoDB item, names and values, in bytes (DynamoDB quotas)."""


class Store(Protocol):
    """One table of items plus a place for payloads over the item limit. Reads are strongly consistent unless said."""

    def write(self, write: Write) -> Written:
        """One conditional write. `Refused` carries the item as it was, at no extra read."""
        ...

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        """Independent writes, in any order, in parallel; the results in the order given."""
        ...

    def get(self, key: Key, *, consistent: bool = True) -> Item | None: ...

    def get_many(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        """Any number of keys (batched by 100); the results in the order given."""
        ...

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> list[Item]:
        """Items of one partition in the order of their sort keys: those that start with `prefix`, past `after`."""
        ...

    def query_many(
        self, pks: Sequence[str], *, prefix: str = "", limit: int | None = None
    ) -> list[list[Item]]:
        """Consistent queries of several partitions, in parallel: of each the first `limit` items that start with `prefix`; the results in
        the order given."""
        ...

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
        """Keys (and index attributes) from an index, eventually consistent: `low <= sort key <= high`."""
        ...

    def put_blob(self, name: str, body: bytes) -> None:
        """Store an object. Writing the same name again is harmless."""
        ...

    def get_blob(self, name: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to send: its JSON body, its delay in whole seconds, its fair-queue group."""

    body: str
    delay_s: int = 0
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message as delivered: body, the handle of this delivery, how often it was delivered, when it was sent and first delivered.

    `source`: of a dead letter, the queue that it came from."""

    queue: str
    body: str
    receipt: str
    receive_count: int
    sent_at_ms: int
    message_id: str = ""
    first_received_at_ms: int = 0
    source: str | None = None


class Queues(Protocol):
    """Queues by the name of their worker. At least once, any order."""

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Send all (batched by 10 and by size); entries that a batch refuses are tried again. Raises if any is left."""
        ...

    def receive(
        self, queue: str, *, limit: int, wait_s: int, visibility_s: int | None = None
    ) -> list[Received]: ...

    def delete(self, message: Received) -> None: ...

    def delete_many(self, messages: Sequence[Received]) -> None:
        """Delete all (batched by 10); those that have left meanwhile are no error. Raises if any is left."""
        ...

    def hide(self, message: Received, seconds: int) -> None:
        """Keep a delivered message invisible for `seconds` from now (0: deliver it again at once)."""
        ...

    def known(self) -> Iterable[str]:
        """The queues of this stack that this adapter has been told of."""
        ...


class Clock(Protocol):
    """Time, as the engine sees it."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Ids(Protocol):
    """Fresh identifiers."""

    def run_id(self) -> str: ...

    def owner(self) -> str:
        """A short name for one attempt: the fence of its commits."""
        ...


class Expressions(Protocol):
    """CEL, for conditions, concurrency keys, rate keys and idempotency keys."""

    def evaluate(self, expression: str, variables: Mapping[str, Json]) -> Json:
        """The value of `expression`; raises `headrace.errors.ExpressionError` with the expression and why."""
        ...


class Secrets(Protocol):
    """Where the secrets of webhooks are kept. A reference says where; only references are stored in the table."""

    def keep(self, name: str, value: str) -> str:
        """Store a secret, in place of one of that name; the reference to it."""
        ...

    def read(self, reference: str) -> str:
        """The secret; raises where there is none, or it may not be read."""
        ...

    def forget(self, reference: str) -> None:
        """Delete a secret that `keep` stored. Others stay."""
        ...


class ReplyQueues(Protocol):
    """Makes and removes the queues by which processes are told of the ends of runs; `Queues` sends to them and receives from them."""

    def make(self, queue: str) -> None:
        """Make an empty queue whose messages expire after a minute, each received once. Making it again is harmless."""
        ...

    def remove(self, queue: str) -> None:
        """Remove it; one that is not there is no error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that connects an engine to a world."""

    store: Store
    queues: Queues
    clock: Clock
    ids: Ids
    secrets: Secrets | None = None
    replies: ReplyQueues | None = None
    zones: Callable[[str], Queues] | None = None
    """The queues of another zone of the stack, by its name; None: all zones have these."""
