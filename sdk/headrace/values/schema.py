"""A model's JSON schema, and what people need of it: an example, the fields of a form, and the value of a field's text.

The schema is published with a workflow, so that a page or a command that has not got the code can ask for an input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from headrace.core.values import dataclass
from headrace.values.schema_types import DECIDED_BY_CODE, decided_by_code

if TYPE_CHECKING:
    from headrace.values.codec import Codec

MAX_SCHEMA_BYTES = 16 * 1024
"""A larger schema is not published: the list of workflows is read by every process that triggers by name."""

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

FieldKind = Literal["text", "integer", "number", "boolean", "choice", "json"]

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaField:
    """One property of an object, as a form shows it.

    `kind`: "json" for what is neither a scalar nor a choice. `choices`: JSON texts, of "choice" only. `initial`: the text to begin with;
    empty where the field may be left out and has no default.
    """

    name: str
    kind: FieldKind
    required: bool
    initial: str
    title: str
    description: str = ""
    choices: tuple[str, ...] = ()


def schema_text(codec: Codec) -> str | None:
    """The JSON schema of a codec's type as compact JSON; None where it has none, or one over MAX_SCHEMA_BYTES.

    One whose model takes more than a schema can say is marked (DECIDED_BY_CODE). A type without fields of its own (a plain dict) has none. Whatever a custom schema of the user's raises gives None as well: a form is a
    convenience, and publishing must not fail for it.
    """
    try:
        found = codec.adapter.json_schema()
        if decided_by_code(codec.adapter.core_schema):
            found[DECIDED_BY_CODE] = True
        text = json.dumps(found, separators=(",", ":"))
    except Exception:  # noqa: BLE001  # user code: see above
        return None
    return text if found.get("properties") and len(text) <= MAX_SCHEMA_BYTES else None


def fields_of(schema: Schema) -> list[SchemaField]:
    """The fields of an object's schema, in its own order. Empty where it is no object, or has no properties."""
    named = schema.get("$defs", {})
    required = schema.get("required", ())
    return [_field(name, of, named, name in required) for name, of in schema.get("properties", {}).items()]


def _field(name: str, of: Schema, named: Schema, required: bool) -> SchemaField:
    inner = _resolved(of, named)
    kind = _kind(inner)
    return SchemaField(
        name=name,
        kind=kind,
        required=required,
        initial=_initial(of, named, kind, required),
        title=str(of.get("title", name)),
        description=str(of.get("description", "")),
        choices=tuple(json.dumps(each) for each in inner.get("enum", ())),
    )


def _resolved(of: Schema, named: Schema) -> Schema:
    """The schema that a reference, or an optional type, stands for."""
    for _ in range(DEEPEST):
        if "$ref" in of:
            of = named[str(of["$ref"]).rsplit("/", 1)[-1]]
        elif len(left := [each for each in of.get("anyOf", ()) if each.get("type") != "null"]) == 1:
            of = left[0]
        else:
            break
    return of


def _kind(of: Schema) -> FieldKind:
    if of.get("enum"):
        return "choice"
    match of.get("type"):
        case "string":
            return "text"
        case "integer":
            return "integer"
        case "number":
            return "number"
        case "boolean":
            return "boolean"
        case _:
            return "json"


def _initial(of: Schema, named: Schema, kind: FieldKind, required: bool) -> str:
    if "default" in of:
        return "" if of["default"] is None else _shown(of["default"], kind)
    if not required:
        return ""
    try:
        return _shown(example(of, named), kind)
    except (ValueError, KeyError, TypeError):
        return ""


def _shown(value: Any, kind: FieldKind) -> str:
    return value if kind == "text" and isinstance(value, str) else json.dumps(value)


def value_of(field: SchemaField, text: str) -> Any:
    """What a field's text stands for. ValueError, naming the field, where it is not of the field's kind.

    A text of a "text" field is taken as it is; leave out an optional field whose text is empty, before this.
    """
    if field.kind == "text":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        raise ValueError(f"{field.name} is {text!r}: give {_WANTED[field.kind]}") from None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "integer": is_number and value == int(value),
        "number": is_number,
        "boolean": isinstance(value, bool),
        "choice": json.dumps(value) in field.choices,
        "json": True,
    }
    if not fits[field.kind]:
        raise ValueError(f"{field.name} is {text!r}: give {_WANTED[field.kind]}")
    return value


_WANTED = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "choice": "one of its choices",
    "json": "JSON",
}


def example(schema: Schema, named: Schema, depth: int = 0) -> Any:
    """A value of the schema with its required fields only. ValueError for a model that contains itself.

    Whether the model takes it is for the caller to try: a pattern or a validator of the user's may not.
    """
    if depth > DEEPEST:
        raise ValueError("a model that contains itself")
    if "$ref" in schema:
        return example(named[str(schema["$ref"]).rsplit("/", 1)[-1]], named, depth + 1)
    for given in ("default", "const"):
        if given in schema:
            return schema[given]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return example(schema[choice][0], named, depth + 1)
    return _typed(schema, named, depth)


def _typed(schema: Schema, named: Schema, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            fields = schema.get("properties", {})
            return {name: example(fields[name], named, depth + 1) for name in required}
        case "array":
            count = int(schema.get("minItems", 0))
            return [example(schema.get("items", {}), named, depth + 1)] * count if count else []
        case "string":
            return _text(schema)
        case "integer" | "number":
            return _number(schema)
        case other:
            return PLAIN.get(str(other), {})


def _text(schema: Schema) -> str:
    found = TEXTS.get(str(schema.get("format")), str(schema.get("title", "text")).lower())
    shortest, longest = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10_000))
    return found.ljust(shortest, "x")[:longest]


def _number(schema: Schema) -> Any:
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
