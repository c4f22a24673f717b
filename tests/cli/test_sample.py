"""The example input that `headrace dev` prints: the model takes it, whatever its fields require."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from headrace import EmptyModel, Headrace
from headrace_infra.local.sample import example_of, sample


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    sku: str
    count: int = Field(gt=0, multiple_of=6)


class Order(BaseModel):
    number: UUID
    customer: str = Field(min_length=12)
    code: str = Field(max_length=2)
    lines: list[Line] = Field(min_length=2)
    colour: Colour
    kind: Literal["new", "used"]
    placed: datetime
    due: date
    patience: timedelta
    price: Decimal
    share: float = Field(gt=0, lt=1)
    note: str | None = None
    extra: dict[str, int]
    either: int | str


class Chosen(BaseModel):
    city: str = Field(examples=["Oslo"])
    zone: str = Field(pattern="^[A-Z]{3}$", examples=["ABC"])


class Tree(BaseModel):
    children: list[Tree]


MODELS: list[Any] = [EmptyModel, Line, Order, Chosen, Tree, dict[str, Any]]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_model_takes_it(model: Any) -> None:
    found = sample(model)
    assert found is not None
    TypeAdapter(model).validate_python(found)


def test_examples_and_required_fields_only() -> None:
    assert sample(Chosen) == {"city": "Oslo", "zone": "ABC"}
    assert "note" not in (sample(Order) or {})


def _never(value: str) -> str:
    raise RuntimeError("whatever a validator of the user's raises")


class Endless(BaseModel):
    inner: Endless


class Strict(BaseModel):
    code: str = Field(pattern="^[0-9]{40}$")


class Raising(BaseModel):
    value: Annotated[str, AfterValidator(_never)]


@pytest.mark.parametrize(
    "model", [Endless, Strict, Raising, int, object()], ids=lambda model: getattr(model, "__name__", "object")
)
def test_none_where_none_can_be_made(model: Any) -> None:
    assert sample(model) is None


def test_the_first_workflow_that_has_one() -> None:
    hatchet = Headrace()

    @hatchet.task(name="strict", input_validator=Strict)
    def strict(input: Strict, ctx: Any) -> None: ...

    assert example_of(hatchet) is None

    @hatchet.task(name="by_annotation")
    def by_annotation(input: Line, ctx: Any) -> None: ...

    assert example_of(hatchet) == {"workflow": "by_annotation", "input": {"sku": "sku", "count": 6}}
