"""What a published schema gives people: the fields of a form, the values of their texts, an example."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, Field

from headrace import Context, Headrace
from headrace.engine.catalog.workflows import all_published
from headrace.values.codec import Codec
from headrace.values.schema import MAX_SCHEMA_BYTES, FieldKind, fields_of, schema_text, value_of
from headrace_infra.testing import local


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    deep: int


class Order(BaseModel):
    id: str = Field(description="As on the receipt")
    count: int = 3
    share: float | None = None
    gift: bool = False
    colour: Colour
    inner: Inner
    tags: list[str] = []


FIELDS: dict[str, tuple[FieldKind, bool, str]] = {
    "id": ("text", True, "id"),
    "count": ("integer", False, "3"),
    "share": ("number", False, ""),
    "gift": ("boolean", False, "false"),
    "colour": ("choice", True, '"red"'),
    "inner": ("json", True, '{"deep": 1}'),
    "tags": ("json", False, "[]"),
}


def schema_of(model: Any) -> dict[str, Any]:
    return Codec(model).adapter.json_schema()


def test_the_fields_of_a_model() -> None:
    found = {each.name: (each.kind, each.required, each.initial) for each in fields_of(schema_of(Order))}
    assert found == FIELDS
    by_name = {each.name: each for each in fields_of(schema_of(Order))}
    assert by_name["id"].description == "As on the receipt"
    assert by_name["colour"].choices == ('"red"', '"blue"')


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("id", "7", "7"),
        ("id", "", ""),
        ("count", "4", 4),
        ("share", "0.5", 0.5),
        ("share", "1", 1),
        ("gift", "true", True),
        ("colour", '"blue"', "blue"),
        ("inner", '{"deep": 2}', {"deep": 2}),
    ],
)
def test_a_text_of_the_right_kind(name: str, text: str, value: Any) -> None:
    field = next(each for each in fields_of(schema_of(Order)) if each.name == name)
    found = value_of(field, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("count", "four", "a whole number"),
        ("count", "4.5", "a whole number"),
        ("count", "true", "a whole number"),
        ("share", "half", "a number"),
        ("gift", "yes", "true or false"),
        ("gift", "1", "true or false"),
        ("colour", '"green"', "one of its choices"),
        ("inner", "{", "JSON"),
    ],
)
def test_a_text_of_another_kind_names_the_field(name: str, text: str, wanted: str) -> None:
    field = next(each for each in fields_of(schema_of(Order)) if each.name == name)
    with pytest.raises(ValueError, match=f"^{name} is .*: give {wanted}$"):
        value_of(field, text)


def _large() -> type[BaseModel]:
    fields: Any = {f"field_number_{n}": (str, Field(description="x" * 60)) for n in range(300)}
    from pydantic import create_model

    return create_model("Large", **fields)


class Raising(BaseModel):
    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> Any:
        raise RuntimeError("a schema of the user's raises")

    value: int


def test_what_has_no_schema_to_publish() -> None:
    assert schema_text(Codec(Order)) is not None
    assert len(schema_text(Codec(Order)) or "") < MAX_SCHEMA_BYTES
    assert schema_text(Codec(_large())) is None
    assert schema_text(Codec(Raising)) is None
    assert schema_text(Codec(dict[str, int])) is None


def test_a_stack_gives_the_schema_to_a_client_without_the_code() -> None:
    hatchet = Headrace()

    @hatchet.task(name="buy", input_validator=Order)
    def buy(input: Order, ctx: Context) -> None: ...

    @hatchet.task(name="plain")
    def plain(input: dict[str, Any], ctx: Context) -> None: ...

    with local(hatchet, backend="memory"):
        stored = all_published(hatchet.engine)
        assert stored["plain"].input_schema is None
        stranger = Headrace()
        stranger.use(hatchet.engine)
        found = stranger.workflows.get("buy").input_schema
        assert found == schema_of(Order)
        assert hatchet.workflows.get("buy").input_schema == found
        assert stranger.workflows.get("plain").input_schema is None
