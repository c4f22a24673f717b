"""A published JSON schema as a type that pydantic validates: what the model's own code would say, where only its schema is at hand.

It is never stricter than the model. What a schema does not tell (a validator of the user's, a model that contains itself) takes any value.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Annotated, Any, Literal, Union
from uuid import UUID

Schema = Mapping[str, Any]

DECIDED_BY_CODE = "x-headrace-decided-by-code"
"""The key of a published schema whose model has code of its own that may take more than the schema says: no value is refused by it."""

_CODE = frozenset({"function-before", "function-wrap", "function-plain", "is-instance", "call", "callable"})
_CHANGES = (
    "populate_by_name",
    "validate_by_name",
    "coerce_numbers_to_str",
    "str_strip_whitespace",
    "str_to_lower",
    "str_to_upper",
    "strip_whitespace",
    "to_lower",
    "to_upper",
    "custom_init",
)
"""Settings by which a model takes more than its schema says."""

_ELSEWHERE = frozenset({"serialization", "python_schema", "strict_schema", "metadata"})
"""Parts of a core schema that JSON input does not meet."""

DEEPEST = 12

_FORMATS: dict[str, Any] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minItems": "min_length",
    "maxItems": "max_length",
}


def decided_by_code(core_schema: Any) -> bool:
    """Whether a model takes values that its JSON schema does not: by validators that come before pydantic's own, or by its settings."""
    if isinstance(core_schema, Mapping):
        alias = core_schema.get("validation_alias")
        return (
            core_schema.get("type") in _CODE
            or any(core_schema.get(name) for name in _CHANGES)
            or (core_schema.get("type") == "enum" and _looks_up(core_schema["cls"]))
            or (alias is not None and not isinstance(alias, str))
            or any(decided_by_code(part) for name, part in core_schema.items() if name not in _ELSEWHERE)
        )
    if isinstance(core_schema, list | tuple):
        return any(decided_by_code(part) for part in core_schema)
    return False


def _looks_up(of: type[Enum]) -> bool:
    """Whether an Enum makes members of values that it does not list."""
    return getattr(of._missing_, "__func__", None) is not getattr(Enum._missing_, "__func__", None)


def type_of(schema: Schema) -> Any:
    """The type of a schema that pydantic wrote. Any where its model's code decides."""
    if schema.get(DECIDED_BY_CODE):
        return Any
    return _type(schema, schema.get("$defs", {}), DEEPEST)


def _type(of: Schema, named: Schema, deep: int) -> Any:
    if deep == 0:
        return Any
    if "$ref" in of:
        return _type(named[str(of["$ref"]).rsplit("/", 1)[-1]], named, deep - 1)
    for choice in ("anyOf", "oneOf"):
        if choice in of:
            return Union[tuple(_type(each, named, deep - 1) for each in of[choice])]  # noqa: UP007
    choices = of.get("enum", [of["const"]] if "const" in of else None)
    if choices is not None:
        is_text = all(isinstance(each, str) for each in choices)
        return Literal[tuple(choices)] if is_text else Any
    match of.get("type"):
        case "object":
            return _object(of, named, deep)
        case "array" if not of.get("uniqueItems") and "prefixItems" not in of:
            return _bounded(list[_type(of.get("items", {}), named, deep - 1)], of)  # type: ignore[misc]
        case "array":
            return list[Any]
        case "string" if "format" in of:
            return _FORMATS.get(str(of["format"]), str)
        case str() as name:
            found = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}.get(name)
            return _bounded(found, of)
        case _:
            return Any


def _bounded(of: Any, schema: Schema) -> Any:
    from pydantic import Field

    bounds = {_BOUNDS[name]: value for name, value in schema.items() if name in _BOUNDS}
    return Annotated[of, Field(**bounds)] if bounds else of


def _object(of: Schema, named: Schema, deep: int) -> Any:
    from pydantic import ConfigDict, Field, create_model

    if "properties" not in of:
        values = of.get("additionalProperties")
        return dict[str, _type(values, named, deep - 1) if isinstance(values, Mapping) else Any]  # type: ignore[misc]
    required = of.get("required", ())
    fields: dict[str, Any] = {
        f"f{place}": (_type(part, named, deep - 1), Field(... if name in required else None, alias=name))
        for place, (name, part) in enumerate(of["properties"].items())
    }
    config = ConfigDict(extra="forbid" if of.get("additionalProperties") is False else "ignore")
    return create_model(str(of.get("title", "Input")), __config__=config, **fields)
