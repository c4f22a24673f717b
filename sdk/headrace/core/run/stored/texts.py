"""Texts as they are stored, compressed where they are long and that is smaller; inputs and outputs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from headrace.core.changes import Item
from headrace.core.run.record import (
    Payload,
    Place,
)

ZIPPED_OVER = 300
"""Bytes over which a text is compressed: below, zlib saves next to nothing."""


def zipped(text: str) -> str | bytes:
    """A text as it is stored: compressed, where it is long and that is smaller."""
    body = text.encode()
    if len(body) <= ZIPPED_OVER:
        return text
    small = zlib.compress(body)
    return small if len(small) < len(body) else text


def unzipped(stored: str | bytes) -> str:
    return zlib.decompress(stored).decode() if isinstance(stored, bytes) else stored


def payload_item(text: str, *, expires_at_s: int) -> Item:
    """An input or output as an item of its own."""
    return {"body": zipped(text), "expires_at": expires_at_s}


def payload_text(item: Mapping[str, Any]) -> str:
    """The text of such an item."""
    return unzipped(item["body"])


def encode_payload(payload: Payload, place: str, text: str, *, plain: bool = False) -> Item:
    if payload.place is Place.NONE:
        return {}
    if payload.place is Place.RECORD and payload.text is not None:
        return {text: payload.text if plain else zipped(payload.text)}
    return {place: payload.place.value}


NO_PAYLOAD = Payload()


def decode_payload(item: Mapping[str, Any], place: str, text: str) -> Payload:
    if text in item:
        return Payload(place=Place.RECORD, text=unzipped(item[text]))
    return Payload(place=Place(item[place])) if place in item else NO_PAYLOAD


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
