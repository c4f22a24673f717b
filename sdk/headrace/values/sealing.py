"""Sealing texts with a payload codec, and opening them. Pure but for the codec.

What is sealed already, and what this process could not open, is left as it is: so an engine without the key carries payloads on, and a
stack may begin with a codec, or change its keys, at any time. A text that only looks sealed, such as a user's, is sealed like any other:
what could not be opened is known again by a mark of this process.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from headrace.core.run.stored.texts import unzipped, zipped
from headrace.core.sealed import BYTES_HEAD, JSON_HEAD, MARK, TEXT_HEAD, WHY
from headrace.errors import HeadraceError

_OURS = os.urandom(6).hex()

RAW, ZIPPED = b"\x00", b"\x01"
"""The first byte of what the codec is given: whether the rest is compressed, since what is sealed cannot be any more."""

ZIPPED_OVER = 200


class PayloadCodec(Protocol):
    """Turns what a run holds into what is stored, and back: encryption, mostly. Called on several threads at once, at every write and read."""

    def seal(self, clear: bytes) -> str:
        """A token for the bytes: ASCII, without quotes, backslashes, spaces or `|`."""
        ...

    def open(self, token: str) -> bytes:
        """The bytes of a token. ValueError, which says why, where it cannot be opened; HeadraceError where it can be tried again."""
        ...


class Sealing:
    """One direction, seal or open, over every kind of text that is stored."""

    def __init__(self, codec: PayloadCodec, *, seals: bool) -> None:
        self._codec = codec
        self._seals = seals

    # ---- texts

    def json(self, text: str) -> str:
        """A JSON text."""
        if self._seals:
            token = _left_closed(text) or self._token(text.encode())
            return f'{JSON_HEAD}{token}"}}'
        if not (text.startswith(JSON_HEAD) and text.endswith('"}')):
            return text
        token = text[len(JSON_HEAD) : -2]
        if '"' in token:
            return text
        clear, why = self._clear(token)
        if clear is not None:
            return clear.decode()
        return compact({MARK: token, WHY: why, "$by": _OURS})

    def text(self, text: str) -> str:
        """Any other text."""
        if self._seals:
            token, _, by = text.removeprefix(TEXT_HEAD).partition("|")
            known = text.startswith(TEXT_HEAD) and by.startswith(_OURS)
            return text if not text else TEXT_HEAD + (token if known else self._token(text.encode()))
        if not text.startswith(TEXT_HEAD):
            return text
        clear, why = self._clear(text.removeprefix(TEXT_HEAD))
        return clear.decode() if clear is not None else f"{text}|{_OURS}|{why}"

    def chunk(self, chunk: str | bytes) -> str | bytes:
        """A chunk of a stream: a text, or bytes, which stay bytes."""
        if isinstance(chunk, bytes):
            return BYTES_HEAD + self._token(chunk) if self._seals else chunk
        if not self._seals and chunk.startswith(BYTES_HEAD):
            clear, _ = self._clear(chunk.removeprefix(BYTES_HEAD))
            return chunk if clear is None else clear
        return self.text(chunk)

    def stored_json(self, stored: Any) -> Any:
        """A JSON text as an item has it: long ones are compressed."""
        return self.json(unzipped(stored)) if isinstance(stored, str | bytes) else stored

    def _token(self, clear: bytes) -> str:
        small = zlib.compress(clear) if len(clear) > ZIPPED_OVER else clear
        return self._codec.seal(ZIPPED + small if len(small) < len(clear) else RAW + clear)

    def _clear(self, token: str) -> tuple[bytes | None, str]:
        """What a token stands for; None, and why, where it cannot be opened."""
        try:
            found = self._codec.open(token)
            return (zlib.decompress(found[1:]) if found[:1] == ZIPPED else found[1:]), ""
        except HeadraceError:
            raise
        except Exception as error:  # noqa: BLE001  # a codec is user code: what it cannot open stays sealed, with the reason
            return None, str(error) or type(error).__name__

    # ---- what texts are part of

    def value(self, value: Any) -> Any:
        """A part of a JSON document."""
        return json.loads(self.json(compact(value)))

    def error(self, stored: Any) -> Any:
        """[type, message, traceback]: the type stays."""
        if not isinstance(stored, list) or len(stored) < 3:
            return stored
        return [stored[0], self.text(str(stored[1])), self.text(str(stored[2])), *stored[3:]]

    def past(self, text: str) -> str:
        """The earlier attempts of a task: their errors."""
        return compact(
            [[*each[:5], *self.error(each[5:])] if len(each) > 5 else each for each in json.loads(text)]
        )

    def log(self, text: str) -> str:
        """The log of a durable task, or a stored part of it: the answers in it. What it waits for stays in the clear."""
        found = json.loads(text)
        is_tail = len(found) in (2, 3) and not any(_is_entry(each) for each in found)
        if is_tail:
            return compact([found[0], [self._entry(each) for each in found[1]], *found[2:]])
        return compact([self._entry(each) for each in found])

    def stored_log(self, stored: Any) -> Any:
        """As `log`, of an item's body: long ones are compressed."""
        return zipped(self.log(unzipped(stored))) if isinstance(stored, str | bytes) else stored

    def _entry(self, entry: list[Any]) -> list[Any]:
        _, kind, _, order, data, *rest = entry
        answered = kind == "m" or (kind == "w" and order and not (rest and rest[0]))
        return [*entry[:4], self.value(data), *rest] if answered and data is not None else entry

    def triggers(self, text: str) -> str:
        """Lists of three, whose last is a payload: the runs that an event starts, and the filters of a workflow."""
        return compact([[one, two, self.value(payload)] for one, two, payload in json.loads(text)])

    def quoted(self, text: str) -> str:
        """A JSON text as a JSON string."""
        inner = json.loads(text)
        return compact(self.json(inner)) if isinstance(inner, str) else text

    def routing(self, stored: Any) -> Any:
        """What a run's record says beside the plan: the payload of the filter that started it."""
        if not isinstance(stored, str | bytes):
            return stored
        text = unzipped(stored)
        found = json.loads(text)
        return (
            compact(within(found, "fp", self.json)) if isinstance(found, dict) and "fp" in found else stored
        )

    def satisfied(self, text: str) -> str:
        """What satisfied a subscription."""
        return compact(within(json.loads(text), "payload", self.json))


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def within(found: dict[str, Any], name: str, how: Callable[[str], str]) -> dict[str, Any]:
    """A document with one of its texts changed, where it has it."""
    return {**found, name: how(found[name])} if isinstance(found.get(name), str) else dict(found)


def _left_closed(text: str) -> str | None:
    """The token of a text that this process could not open."""
    if not (text.startswith(JSON_HEAD) and text.endswith(f'"$by":"{_OURS}"}}')):
        return None
    return str(json.loads(text)[MARK])


def _is_entry(found: Any) -> bool:
    """Whether a list is an entry of a log, rather than one of the two parts of a tail."""
    return isinstance(found, list) and len(found) >= 5 and isinstance(found[1], str)
