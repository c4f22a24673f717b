"""The Store port on DynamoDB, with S3 for what is too large for an item."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from headrace.aws.dynamodb.expressions import request_of
from headrace.aws.dynamodb.inserts import batches_of, is_insert
from headrace.aws.dynamodb.items import item_from_wire, key_to_wire
from headrace.aws.faults import DENIED, FINAL, translated
from headrace.aws.transport import Refusal, Transport
from headrace.core.changes import Applied, Item, Key, Put, Refused, Write, Written
from headrace.core.table import INDEXES
from headrace.errors import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")

BATCH_GET = 100
"""Keys a BatchGetItem (DynamoDB API reference)."""

PARALLEL = 16
UNPROCESSED_TRIES = 8


class AwsStore:
    """One table and one bucket. Thread-safe."""

    def __init__(
        self,
        transport: Transport,
        *,
        table: str,
        bucket: Callable[[], str],
        stack: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._table = table
        self._bucket = bucket
        self._stack = stack
        self._pause = pause
        self._inserts = transport.inserts

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._transport.call("dynamodb", operation, request)

    def write(self, write: Write) -> Written:
        operation, request = request_of(write, self._table)
        with translated("store", f"table {self._table}", self._stack):
            try:
                answer = self._call(operation, request)
            except Refusal as refusal:
                if refusal.code != "ConditionalCheckFailedException":
                    raise
                found = refusal.answer.get("Item")
                return Refused(item_from_wire(found) if found else None)
        if isinstance(write, Put):
            return Applied({**write.item, "pk": write.key.pk, "sk": write.key.sk})
        attributes = answer.get("Attributes")
        return Applied(item_from_wire(attributes) if attributes else None)

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        """New items go in batches of 25 where the transport and the store have them, all else one by one, in parallel."""
        if len(writes) <= 1:
            return [self.write(write) for write in writes]
        done: dict[int, Written] = {}
        if self._inserts:
            new = [(number, write) for number, write in enumerate(writes) if is_insert(write)]
            done = self._insert_all(new) if len(new) > 1 else {}
        left = [number for number in range(len(writes)) if number not in done]
        done.update(
            zip(left, self._in_parallel(self.write, [writes[number] for number in left]), strict=True)
        )
        return [done[number] for number in range(len(writes))]

    def _insert_all(self, new: Sequence[tuple[int, Put]]) -> dict[int, Written]:
        """What became of those that were inserted. The others (they exist, are throttled, are invalid) are for `write` to judge."""
        batches = batches_of([put for _, put in new], self._table)
        inserted = [flag for flags in self._in_parallel(self._insert, batches) for flag in flags]
        return {
            number: Applied({**put.item, "pk": put.key.pk, "sk": put.key.sk})
            for (number, put), is_in in zip(new, inserted, strict=True)
            if is_in
        }

    def _insert(self, batch: tuple[list[Put], dict[str, Any]]) -> list[bool]:
        puts, request = batch
        with translated("store", f"table {self._table}", self._stack):
            try:
                answers = self._call("BatchExecuteStatement", request)["Responses"]
            except Refusal as refusal:
                if refusal.code in DENIED or refusal.code in FINAL or not refusal.code.isidentifier():
                    self._inserts = False  # no permission for PartiQL, or an emulator without it
                return [False] * len(puts)
        return ["Error" not in answer for answer in answers]

    @staticmethod
    def _in_parallel(call: Callable[[T], R], items: Sequence[T]) -> list[R]:
        if len(items) <= 1:
            return [call(item) for item in items]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=min(PARALLEL, len(items))) as pool:
            return list(pool.map(call, items))

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        with translated("store", f"table {self._table}", self._stack):
            answer = self._call(
                "GetItem", {"TableName": self._table, "Key": key_to_wire(key), "ConsistentRead": consistent}
            )
        found = answer.get("Item")
        return item_from_wire(found) if found else None

    def get_many(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        distinct = list(dict.fromkeys(keys))
        batches = [distinct[at : at + BATCH_GET] for at in range(0, len(distinct), BATCH_GET)]
        found: dict[Key, Item] = {}
        if len(batches) <= 1:
            for batch in batches:
                found.update(self._get_batch(batch, consistent))
        else:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(max_workers=min(PARALLEL, len(batches))) as pool:
                for part in pool.map(lambda batch: self._get_batch(batch, consistent), batches):
                    found.update(part)
        return [found.get(key) for key in keys]

    def _get_batch(self, keys: Sequence[Key], consistent: bool) -> dict[Key, Item]:
        found: dict[Key, Item] = {}
        wanted: list[Any] = [key_to_wire(key) for key in keys]
        for attempt in range(UNPROCESSED_TRIES):
            with translated("store", f"table {self._table}", self._stack):
                answer = self._call(
                    "BatchGetItem",
                    {"RequestItems": {self._table: {"Keys": wanted, "ConsistentRead": consistent}}},
                )
            for wire in answer["Responses"].get(self._table, []):
                item = item_from_wire(wire)
                found[Key(str(item["pk"]), str(item["sk"]))] = item
            wanted = list(answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", []))
            if not wanted:
                return found
            self._pause(0.05 * 2**attempt)
        raise StoreUnavailable(f"table {self._table} left {len(wanted)} keys unread: it is throttled")

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> list[Item]:
        if after is not None and after < prefix:
            after = None
        if after is not None and not after.startswith(prefix):
            return []  # past them all; DynamoDB refuses a start outside of the condition
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": pk}},
            "ConsistentRead": consistent,
        }
        if prefix:
            request["KeyConditionExpression"] += " AND begins_with(sk, :prefix)"
            request["ExpressionAttributeValues"][":prefix"] = {"S": prefix}
        if after is not None:
            request["ExclusiveStartKey"] = key_to_wire(Key(pk, after))
        return self._pages(request, limit)

    def query_many(
        self, pks: Sequence[str], *, prefix: str = "", limit: int | None = None
    ) -> list[list[Item]]:
        return self._in_parallel(lambda pk: self.query(pk, prefix=prefix, limit=limit), list(pks))

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
        partition, order = INDEXES[index]
        if low > high:
            return []
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": index,
            "KeyConditionExpression": "#p = :pk AND #s <= :high",
            "ExpressionAttributeNames": {"#p": partition, "#s": order},
            "ExpressionAttributeValues": {":pk": {"S": pk}, ":high": {"S": high}},
            "ScanIndexForward": not newest_first,
        }
        if low:  # an empty string is no key value
            request["KeyConditionExpression"] = "#p = :pk AND #s BETWEEN :low AND :high"
            request["ExpressionAttributeValues"][":low"] = {"S": low}
        return self._pages(request, limit)

    def _pages(self, request: dict[str, Any], limit: int | None) -> list[Item]:
        out: list[Item] = []
        if limit is not None and limit <= 0:
            return out
        while True:
            if limit is not None:
                request["Limit"] = limit - len(out)
            with translated("store", f"table {self._table}", self._stack):
                answer = self._call("Query", request)
            out.extend(item_from_wire(wire) for wire in answer["Items"])
            last = answer.get("LastEvaluatedKey")
            if not last or (limit is not None and len(out) >= limit):
                return out
            request["ExclusiveStartKey"] = last

    def put_blob(self, name: str, body: bytes) -> None:
        with translated("store", "payload bucket", self._stack):
            self._transport.call("s3", "PutObject", {"Bucket": self._bucket(), "Key": name, "Body": body})

    def get_blob(self, name: str) -> bytes | None:
        with translated("store", "payload bucket", self._stack):
            try:
                answer = self._transport.call("s3", "GetObject", {"Bucket": self._bucket(), "Key": name})
                body: bytes = answer["Body"].read()
                return body
            except Refusal as refusal:
                if refusal.code in ("NoSuchKey", "404"):
                    return None
                raise
