"""The billed units of one AWS request, from what was asked and what was answered.

Emulators misreport consumed capacity, so units follow AWS's published rules from the sizes themselves:
- DynamoDB: a write unit is 1 KB of the larger of the item before and after, a failed condition bills the item it looked at,
  a transaction doubles, an index bills what it projects; a read unit is 4 KB strongly consistent, half that otherwise
  (developer guide, "Read and write operations").
- SQS: a request is 64 KB of payload, sent or received (pricing page).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headrace.core.table import INDEXES

WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096
SQS_REQUEST_BYTES = 64 * 1024

Kind = Literal["write", "index_write", "read", "sqs", "s3_put", "s3_get", "other"]


@dataclass(frozen=True, slots=True)
class Charge:
    """Billed units of one kind."""

    kind: Kind
    units: float


def _ceil(size: int, unit: int) -> int:
    return max(1, -(-size // unit))


def attribute_bytes(value: Mapping[str, Any]) -> int:
    """Bytes of one DynamoDB attribute value in wire form."""
    [(kind, body)] = value.items()
    match kind:
        case "S":
            return len(str(body).encode())
        case "N":
            return (len(str(body).lstrip("-")) + 1) // 2 + 1 + str(body).startswith("-")
        case "B":
            return len(body)
        case "BOOL" | "NULL":
            return 1
        case "NS":
            return sum(attribute_bytes({"N": each}) for each in body)
        case "SS":
            return sum(len(each.encode()) for each in body)
        case "L":
            return 3 + sum(1 + attribute_bytes(each) for each in body)
        case "M":
            return 3 + sum(1 + len(name.encode()) + attribute_bytes(each) for name, each in body.items())
        case _:
            raise ValueError(f"unknown DynamoDB type {kind}")


def wire_item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes of an item in wire form."""
    return sum(len(name.encode()) + attribute_bytes(value) for name, value in item.items())


def _write_charges(item: Mapping[str, Any], *, indexes: bool) -> list[Charge]:
    charges = [Charge("write", _ceil(wire_item_bytes(item), WRITE_UNIT_BYTES))]
    if indexes:
        for keys in INDEXES.values():
            if all(key in item for key in keys):
                projected = {name: item[name] for name in ("pk", "sk", *keys) if name in item}
                charges.append(
                    Charge("index_write", _ceil(wire_item_bytes(projected) + 100, WRITE_UNIT_BYTES))
                )
    return charges


def _touches_index(params: Mapping[str, Any]) -> bool:
    names = set(params.get("ExpressionAttributeNames", {}).values())
    return any(key in names for keys in INDEXES.values() for key in keys)


def _dynamodb(operation: str, params: Mapping[str, Any], parsed: Mapping[str, Any]) -> list[Charge]:
    failed = "Error" in parsed
    if failed:
        if parsed["Error"].get("Code") != "ConditionalCheckFailedException":
            return []
        return [Charge("write", _ceil(wire_item_bytes(parsed.get("Item", {})), WRITE_UNIT_BYTES))]
    match operation:
        case "PutItem":
            return _write_charges(params["Item"], indexes=True)
        case "UpdateItem":
            after = parsed.get("Attributes", params["Key"])
            return _write_charges(after, indexes=_touches_index(params))
        case "DeleteItem":
            return [
                Charge(
                    "write", _ceil(wire_item_bytes(parsed.get("Attributes", params["Key"])), WRITE_UNIT_BYTES)
                )
            ]
        case "GetItem":
            return [_read([parsed.get("Item", {})], consistent=params.get("ConsistentRead", False))]
        case "BatchGetItem":
            charges = []
            for table, request in params["RequestItems"].items():
                consistent = request.get("ConsistentRead", False)
                found = parsed.get("Responses", {}).get(table, [])
                charges += [_read([item], consistent=consistent) for item in found]
                charges += [_read([{}], consistent=consistent)] * (len(request["Keys"]) - len(found))
            return charges
        case "BatchWriteItem":
            items = [
                entry["PutRequest"]["Item"] if "PutRequest" in entry else entry["DeleteRequest"]["Key"]
                for entries in params["RequestItems"].values()
                for entry in entries
            ]
            return [charge for item in items for charge in _write_charges(item, indexes=True)]
        case "TransactWriteItems":
            writes = [next(iter(entry.values())) for entry in params["TransactItems"]]
            found = [
                _write_charges(write.get("Item", write.get("Key", {})), indexes=True) for write in writes
            ]
            return [Charge(charge.kind, 2 * charge.units) for charges in found for charge in charges]
        case "Query" | "Scan":
            return [_read(parsed.get("Items", []), consistent=params.get("ConsistentRead", False))]
        case _:
            return [Charge("other", 1)]


def _read(items: list[Mapping[str, Any]], *, consistent: bool) -> Charge:
    units = _ceil(sum(wire_item_bytes(item) for item in items), READ_UNIT_BYTES)
    return Charge("read", units if consistent else units / 2)


def _sqs(operation: str, params: Mapping[str, Any], parsed: Mapping[str, Any]) -> list[Charge]:
    size = 0
    match operation:
        case "SendMessage":
            size = len(params["MessageBody"].encode())
        case "SendMessageBatch":
            size = sum(len(entry["MessageBody"].encode()) for entry in params["Entries"])
        case "ReceiveMessage":
            size = sum(len(message["Body"].encode()) for message in parsed.get("Messages", []))
        case _:
            pass
    return [Charge("sqs", _ceil(size, SQS_REQUEST_BYTES))]


def charges_of(
    service: str, operation: str, params: Mapping[str, Any], parsed: Mapping[str, Any]
) -> list[Charge]:
    """What AWS bills for one request."""
    match service:
        case "dynamodb":
            return _dynamodb(operation, params, parsed)
        case "sqs":
            return _sqs(operation, params, parsed)
        case "s3":
            return [Charge("s3_get" if operation in ("GetObject", "HeadObject") else "s3_put", 1)]
        case _:
            return [Charge("other", 1)]
