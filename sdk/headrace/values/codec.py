"""Values in and out of JSON, through pydantic: models, dataclasses, TypedDicts, dicts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeGuard

from headrace.errors import IllegalTaskOutputError

HATCHET_PYDANTIC_SENTINEL = "hatchet_serialization_context"


if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The character in JSON; not a text that spells it, which has one backslash more."""

CONTEXT: dict[str, Any] = {HATCHET_PYDANTIC_SENTINEL: True}
"""The pydantic context of everything that goes over the wire, so that validators can tell (PARITY A15)."""


def is_in_hatchet_serialization_context(info: Any) -> bool:
    """Whether a pydantic validator or serializer is at work on what goes over the wire.

    `info` is what pydantic gives the validator, or its `info.context`, which is what Hatchet takes.
    """
    context = info if isinstance(info, Mapping) else getattr(info, "context", None)
    return isinstance(context, Mapping) and bool(context.get(HATCHET_PYDANTIC_SENTINEL))


def remove_null_unicode_character(data: Any, replacement: str = "") -> Any:
    """`data` (a string, or lists, tuples and dicts of them) without the character U+0000, which JSON stores refuse."""
    match data:
        case str():
            return data.replace("\u0000", replacement)
        case dict():
            return {
                remove_null_unicode_character(k, replacement): remove_null_unicode_character(v, replacement)
                for k, v in data.items()
            }
        case list():
            return [remove_null_unicode_character(each, replacement) for each in data]
        case tuple():
            return tuple(remove_null_unicode_character(each, replacement) for each in data)
        case _:
            return data


PLAIN = (dict, dict[str, Any])
"""Types whose values any JSON object is: read without pydantic, so that an app of such tasks never imports it."""


def _plain(text: str | None) -> Any:
    """None where it is not JSON: pydantic says what is wrong with it."""
    try:
        return json.loads(text if text is not None else "{}")
    except ValueError:
        return None


class Codec:
    """JSON texts of one type. The adapter is built when first needed."""

    __slots__ = ("_adapter", "type")

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self._adapter: TypeAdapter[Any] | None = None

    @property
    def adapter(self) -> TypeAdapter[Any]:
        if self._adapter is None:
            from pydantic import TypeAdapter

            self._adapter = TypeAdapter(self.type)
        return self._adapter

    def parse(self, text: str | None) -> Any:
        """The value of a JSON text (None: an empty object). Raises pydantic's ValidationError."""
        if self.type in PLAIN and isinstance(found := _plain(text), dict):
            return found
        return self.adapter.validate_json(text if text is not None else "{}", context=CONTEXT)

    def of_value(self, value: Any) -> Any:
        """As `of`, where None is a value like any other."""
        return self.adapter.validate_python(value, context=CONTEXT)

    def text_of(self, value: Any) -> str:
        """The JSON text of a value of the type."""
        return self.adapter.dump_json(value, context=CONTEXT).decode()

    def of(self, value: Any) -> Any:
        """The value that an already parsed JSON document stands for."""
        return self.adapter.validate_python({} if value is None else value, context=CONTEXT)


@lru_cache(maxsize=256)
def _known(type_: Any) -> Codec:
    return Codec(type_)


def codec_of(type_: Any) -> Codec:
    """The codec of a type that is named at each call: pydantic builds its adapter the first time only, which takes as long as a step does."""
    try:
        return _known(type_)
    except TypeError:  # it cannot be hashed: an Annotated with a list, say
        return Codec(type_)


def input_text(value: Any) -> str | None:
    """The JSON text of an input; None for an empty one. TypeError where it is not JSON, or holds what is not."""
    try:
        return _input_text(value)
    except ValueError as error:  # pydantic's PydanticSerializationError among them
        raise TypeError(f"the input cannot be serialised to JSON: {error}") from error


def _input_text(value: Any) -> str | None:
    if value is None:
        return None
    if _is_model(value):
        text = value.__pydantic_serializer__.to_json(value, context=CONTEXT, by_alias=True).decode()
    elif isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
        text = _json(value)
    else:
        raise TypeError(
            f"an input is a dict, a pydantic model or a dataclass, not {type(value).__name__}: {_short(value)}"
        )
    return None if text == "{}" else text


def output_text(value: Any) -> str | None:
    """The JSON text of what a task returned; None for nothing. IllegalTaskOutputError where it is not a JSON object."""
    if value is None:
        return None
    if _is_model(value):
        text = _model_json(value)
    elif isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
        try:
            text = _json(value)
        except (ValueError, TypeError) as error:
            raise IllegalTaskOutputError(f"the output cannot be serialised to JSON: {error}") from error
    else:
        raise IllegalTaskOutputError(
            "Tasks must return either a dictionary, a Pydantic BaseModel, or a dataclass which can be serialized to a "
            f"JSON object. Got object of type {type(value)} instead."
        )
    if _NUL.search(text):
        raise IllegalTaskOutputError(
            'the output holds the character "\\u0000"; remove it with remove_null_unicode_character(output)'
        )
    return None if text == "{}" and not _is_model(value) else text


def _model_json(value: BaseModel) -> str:
    try:
        return value.__pydantic_serializer__.to_json(value, context=CONTEXT, by_alias=True).decode()
    except ValueError as error:  # pydantic's PydanticSerializationError among them
        raise IllegalTaskOutputError(f"the output cannot be serialised to JSON: {error}") from error


def _is_model(value: Any) -> TypeGuard[BaseModel]:
    """Whether it is a pydantic model: certainly not where pydantic was never imported, which is a third of a cold start."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def is_validation_error(error: BaseException) -> bool:
    """Whether it is pydantic's ValidationError."""
    core = sys.modules.get("pydantic_core")
    return core is not None and isinstance(error, core.ValidationError)


def _json(value: Any) -> str:
    from pydantic_core import to_json

    return to_json(value, context=CONTEXT, by_alias=True).decode()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def metadata_of(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata as plain JSON. TypeError, which names the key, where a value is not JSON."""
    if not value:
        return {}
    from pydantic_core import to_json

    out: dict[str, Any] = {}
    for key, each in value.items():
        try:
            out[str(key)] = json.loads(to_json(each))
        except ValueError as error:  # pydantic's PydanticSerializationError among them
            raise TypeError(f"additional_metadata[{key!r}] is not JSON: {error}") from error
    return out
