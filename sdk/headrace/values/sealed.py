"""Ports that seal what leaves the process and open what comes back, by the app's payload codec: no other part knows of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from headrace.core.changes import Applied, Delete, Item, Key, Put, Refused, Update, Write, Written
from headrace.ports import Outgoing, Ports, Queues, Received, Store
from headrace.values.sealing import PayloadCodec, Sealing
from headrace.values.sealing_rules import apply, body, rules_for

if TYPE_CHECKING:
    from headrace.engine.engine import Limits

SHARE = 0.7
"""What is measured in the clear has to fit when it is sealed, and base64 makes that a third longer."""


def sealed_ports(ports: Ports, codec: PayloadCodec) -> Ports:
    """The ports behind a codec."""
    sealing, opening = Sealing(codec, seals=True), Sealing(codec, seals=False)
    zones = ports.zones
    return replace(
        ports,
        store=SealedStore(ports.store, sealing, opening),
        queues=SealedQueues(ports.queues, sealing, opening),
        zones=(lambda zone: SealedQueues(zones(zone), sealing, opening)) if zones is not None else None,
    )


def sealed_limits(limits: Limits) -> Limits:
    """The limits as they hold for texts in the clear."""
    return replace(
        limits,
        pack_outputs=False,
        inline_final_bytes=int(limits.inline_final_bytes * SHARE),
        message_input_bytes=int(limits.message_input_bytes * SHARE),
        item_bytes=int(limits.item_bytes * SHARE),
    )


class SealedStore:
    """A store whose payloads are sealed."""

    def __init__(self, store: Store, sealing: Sealing, opening: Sealing) -> None:
        self._store = store
        self._sealing = sealing
        self._opening = opening

    def write(self, write: Write) -> Written:
        return self._opened_written(self._store.write(self._sealed(write)))

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        written = self._store.write_many([self._sealed(each) for each in writes])
        return [self._opened_written(each) for each in written]

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        item = self._store.get(key, consistent=consistent)
        return None if item is None else self._opened(item)

    def get_many(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        found = self._store.get_many(keys, consistent=consistent)
        return [None if item is None else self._opened(item) for item in found]

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> list[Item]:
        found = self._store.query(pk, prefix=prefix, after=after, limit=limit, consistent=consistent)
        return [self._opened(item) for item in found]

    def query_many(
        self, pks: Sequence[str], *, prefix: str = "", limit: int | None = None
    ) -> list[list[Item]]:
        pages = self._store.query_many(pks, prefix=prefix, limit=limit)
        return [[self._opened(item) for item in page] for page in pages]

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
        """An index holds keys only."""
        return self._store.query_index(index, pk, low=low, high=high, limit=limit, newest_first=newest_first)

    def put_blob(self, name: str, body: bytes) -> None:
        self._store.put_blob(name, self._sealing.json(body.decode()).encode())

    def get_blob(self, name: str) -> bytes | None:
        body = self._store.get_blob(name)
        return None if body is None else self._opening.json(body.decode()).encode()

    def _sealed(self, write: Write) -> Write:
        match write:
            case Put(key=key, item=item):
                rules = rules_for(key.pk, key.sk)
                sealed = {name: apply(self._sealing, rules, (name,), each) for name, each in item.items()}
                return replace(write, item=sealed)
            case Update(key=key, sets=sets):
                rules = rules_for(key.pk, key.sk)
                return replace(
                    write,
                    sets={path: apply(self._sealing, rules, path, each) for path, each in sets.items()},
                )
            case Delete():
                return write
            case _:
                assert_never(write)

    def _opened(self, item: Item) -> Item:
        rules = rules_for(str(item.get("pk")), str(item.get("sk")))
        return {name: apply(self._opening, rules, (name,), each) for name, each in item.items()}

    def _opened_written(self, written: Written) -> Written:
        match written:
            case Applied(item):
                return Applied(None if item is None else self._opened(item))
            case Refused(item):
                return Refused(None if item is None else self._opened(item))
            case _:
                assert_never(written)


class SealedQueues:
    """Queues whose messages' payloads are sealed."""

    def __init__(self, queues: Queues, sealing: Sealing, opening: Sealing) -> None:
        self._queues = queues
        self._sealing = sealing
        self._opening = opening

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        self._queues.send(queue, [replace(each, body=body(self._sealing, each.body)) for each in messages])

    def receive(
        self, queue: str, *, limit: int, wait_s: int, visibility_s: int | None = None
    ) -> list[Received]:
        found = self._queues.receive(queue, limit=limit, wait_s=wait_s, visibility_s=visibility_s)
        return [self.opened(each) for each in found]

    def opened(self, message: Received) -> Received:
        """A message that was received by other means: Lambda does it for its functions."""
        return replace(message, body=body(self._opening, message.body))

    def delete(self, message: Received) -> None:
        self._queues.delete(message)

    def delete_many(self, messages: Sequence[Received]) -> None:
        self._queues.delete_many(messages)

    def hide(self, message: Received, seconds: int) -> None:
        self._queues.hide(message, seconds)

    def known(self) -> Iterable[str]:
        return self._queues.known()
