"""Puts of new items as PartiQL statements: 25 a request in place of one, with the same condition and at the same price.

DynamoDB has no other batch whose writes are conditional: BatchWriteItem overwrites, a transaction bills twice. An INSERT is refused
where the item exists ("DuplicateItem"; developer guide, "PartiQL insert statements for DynamoDB").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from headrace.aws.dynamodb.items import item_to_wire, key_to_wire
from headrace.core.changes import ITEM_MISSING, Put, Write

BATCH = 25
"""Statements a BatchExecuteStatement (DynamoDB API reference)."""


STATEMENT_ROOM = 7500
"""Characters for an item's names: a statement has 8,192 (DynamoDB API reference), the table's name among them."""


def is_insert(write: Write) -> TypeGuard[Put]:
    """Whether an INSERT does the same: a put that wants the item missing, of names that need no escape."""
    if not isinstance(write, Put) or write.require != ITEM_MISSING:
        return False
    names = list(write.item)
    return (
        all(name.isidentifier() for name in names) and sum(map(len, names)) + 6 * len(names) < STATEMENT_ROOM
    )


def batches_of(puts: Sequence[Put], table: str) -> list[tuple[list[Put], dict[str, Any]]]:
    """The puts of each request, and the request. One item is at most once in a request."""
    out: list[list[Put]] = []
    for put in puts:
        if not out or len(out[-1]) == BATCH or any(put.key == other.key for other in out[-1]):
            out.append([])
        out[-1].append(put)
    return [(batch, {"Statements": [_statement(put, table) for put in batch]}) for batch in out]


def _statement(put: Put, table: str) -> dict[str, Any]:
    item = {**item_to_wire(put.item), **key_to_wire(put.key)}
    values = ", ".join(f"'{name}': ?" for name in item)
    return {"Statement": f'INSERT INTO "{table}" VALUE {{{values}}}', "Parameters": list(item.values())}
