"""An input that a workflow takes, made from the JSON schema of its model: for the example that `headrace dev` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from headrace.app import Headrace

DEEPEST = 6
TEXTS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1M",
    "email": "ann@example.com",
    "uri": "https://example.com",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
PLAIN: dict[str, Any] = {"boolean": True, "null": None, "object": {}, "array": []}


def example_of(app: Headrace) -> dict[str, Any] | None:
    """A workflow of the app, and an input that its model takes; None where none was found for any."""
    for name, workflow in app.workflows_by_name.items():
        found = sample(
            workflow.tasks[0].input_codec.type if workflow.tasks else workflow.input_validator_type
        )
        if found is not None:
            return {"workflow": name, "input": found}
    return None


def sample(model: Any) -> dict[str, Any] | None:
    """An object that the model takes, with its required fields only; None where none could be made."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        schema = adapter.json_schema()
        value = _value(schema, schema.get("$defs", {}), 0)
        adapter.validate_python(value)
    except (ValidationError, ValueError, TypeError, KeyError, RecursionError, NotImplementedError):
        return None
    except Exception:  # noqa: BLE001  # a user's validator may raise anything: then there is no example
        return None
    return value if isinstance(value, dict) else None


def _value(schema: Mapping[str, Any], named: Mapping[str, Any], depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError("a model that contains itself")
    if "$ref" in schema:
        return _value(named[str(schema["$ref"]).rsplit("/", 1)[-1]], named, depth + 1)
    for given in ("default", "const"):
        if given in schema:
            return schema[given]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _value(schema[choice][0], named, depth + 1)
    return _typed(schema, named, depth)


def _typed(schema: Mapping[str, Any], named: Mapping[str, Any], depth: int) -> Any:
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            fields = schema.get("properties", {})
            return {name: _value(fields[name], named, depth + 1) for name in required}
        case "array":
            count = int(schema.get("minItems", 0))
            return [_value(schema.get("items", {}), named, depth + 1)] * count if count else []
        case "string":
            return _text(schema)
        case "integer" | "number":
            return _number(schema)
        case other:
            return PLAIN.get(str(other), {})


def _text(schema: Mapping[str, Any]) -> str:
    found = TEXTS.get(str(schema.get("format")), str(schema.get("title", "text")).lower())
    shortest, longest = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10_000))
    return found.ljust(shortest, "x")[:longest]


def _number(schema: Mapping[str, Any]) -> Any:
    lowest = schema.get(
        "minimum", schema.get("exclusiveMinimum", -1) + (1 if schema.get("type") == "integer" else 0.5)
    )
    found = max(1, lowest)
    highest = schema.get("maximum", found)
    if "exclusiveMaximum" in schema:
        highest = schema["exclusiveMaximum"] - (1 if schema.get("type") == "integer" else 0.5)
    found = min(found, highest)
    step = schema.get("multipleOf")
    return -(-found // step) * step if step else found
