"""A published schema judges an input as its model does, and never more strictly."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    create_model,
)

from headrace.values.codec import Codec
from headrace.values.schema import schema_text
from headrace.values.schema_types import DECIDED_BY_CODE, type_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Loose(Enum):
    ONE = "one"

    @classmethod
    def _missing_(cls, value: object) -> Loose:
        return cls.ONE


class Line(BaseModel):
    sku: str = Field(pattern="^[a-z]+$")
    count: int = Field(ge=1, le=9)


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class Odd(BaseModel):
    schema_: str = Field(alias="schema")
    model_x: int = Field(alias="_x")


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True)
    a: int = Field(alias="b")


class Trimmed(BaseModel):
    a: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2)]


class Choices(BaseModel):
    a: int = Field(validation_alias=AliasChoices("a", "b"))


Parsed = Annotated[list[int], BeforeValidator(lambda value: str(value).split(","))]

# Types of one field, values that their models take, values that they do not. Each is asked of the model as well.
FIELDS: tuple[tuple[Any, tuple[Any, ...], tuple[Any, ...]], ...] = (
    (int, (1, "2", 3.0, True), ("x", 1.5, None, [])),
    (float, (1, "2.5"), ("x", None)),
    (bool, (True, "yes", 0, "false"), (7, "maybe")),
    (str, ("a", ""), (1, None, {})),
    (str | None, ("a", None), (1,)),
    (int | str, (1, "a"), ([], None)),
    (datetime, ("2026-01-31T12:00:00Z", 1_700_000_000), ("yesterday", [])),
    (date, ("2026-01-31",), ("31.1.2026",)),
    (timedelta, ("PT1M", 60), ("soon",)),
    (UUID, ("3fa85f64-5717-4562-b3fc-2c963f66afa6",), ("x", 7)),
    (Decimal, ("1.5", 2, 2.5), ([],)),
    (Colour, ("red",), ("green", 1)),
    (Literal["a", "b"], ("a",), ("c",)),
    (list[int], ([], [1, "2"]), (["x"], "1", None)),
    (Annotated[list[int], Field(min_length=1, max_length=2)], ([1],), ([], [1, 2, 3])),
    (dict[str, int], ({}, {"a": 1}), ({"a": "x"}, [])),
    (Line, ({"sku": "a", "count": 1},), ({"sku": "A", "count": 1}, {"sku": "a", "count": 10}, {"sku": "a"}, 7)),
    (list[Line], ([{"sku": "a", "count": "9"}],), ([{"count": 1}],)),
    (Cat | Dog, ({"kind": "cat", "lives": 9},), ({"kind": "cow"}, {"kind": "dog"})),
    (Tree, ({"name": "a", "children": [{"name": "b"}]},), ({"children": []}, {"name": "a", "children": [{}]})),
    (Strict, ({"a": 1},), ({"a": 1, "b": 2},)),
    (Odd, ({"schema": "x", "_x": 1},), ({"schema": "x"},)),
    (Any, (1, None, {}), ()),
)  # fmt: skip

# What only the model's own code, or its settings, can judge.
TAKEN: tuple[tuple[Any, Any], ...] = (
    (Parsed, "1,2"),
    (ByName, {"a": 1}),
    (Trimmed, {"a": " ab "}),
    (Choices, {"b": 1}),
    (Loose, "two"),
    (Level, 2),
    (IPv4Address, 1),
    (set[int], [1, 1]),
    (tuple[int, str], [1, "a"]),
    (bytes, "abc"),
)


def taken(type_: Any, value: Any) -> bool:
    try:
        Codec(type_).parse(json.dumps({"field": value}))
    except ValidationError:
        return False
    return True


def model_of(field: Any) -> type[BaseModel]:
    return create_model("Input", field=(field, ...))


def by_schema(model: type[BaseModel]) -> Any:
    text = schema_text(Codec(model))
    assert text is not None
    return type_of(json.loads(text))


@pytest.mark.parametrize(("field", "good", "bad"), FIELDS, ids=[str(row[0]) for row in FIELDS])
def test_a_schema_says_what_its_model_says(field: Any, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    model = model_of(field)
    published = by_schema(model)
    assert [value for value in good if not taken(model, value)] == []
    assert [value for value in good if not taken(published, value)] == []
    assert [value for value in bad if taken(model, value)] == []
    assert [value for value in bad if taken(published, value)] == []


@pytest.mark.parametrize(("field", "value"), TAKEN)
def test_what_code_decides_is_not_refused(field: Any, value: Any) -> None:
    model = model_of(field)
    assert taken(model, value)
    assert taken(by_schema(model), value)


def test_a_model_whose_code_decides_is_marked() -> None:
    assert DECIDED_BY_CODE in json.loads(schema_text(Codec(Choices)) or "{}")
    assert DECIDED_BY_CODE not in json.loads(schema_text(Codec(Line)) or "{}")
