"""How a payload that a codec has sealed looks, for code that meets one and cannot open it. Pure.

A sealed JSON text is the object `{"$sealed": token}`, so that it stays JSON wherever JSON is stored or shown; any other sealed text is
`$sealed:token`.
"""

from __future__ import annotations

from typing import Any

from headrace.errors import PayloadSealedError

MARK = "$sealed"
WHY = "$why"
JSON_HEAD = f'{{"{MARK}":"'
TEXT_HEAD = f"{MARK}:"
BYTES_HEAD = f"{MARK}-bytes:"

NO_CODEC = "no codec was given here: Headrace(codec=...)"


def opened(what: str, text: str | None) -> str | None:
    """A JSON text that is not sealed. PayloadSealedError, which names `what`, where it is."""
    if text is not None and text.startswith(JSON_HEAD):
        raise PayloadSealedError(what, reason_of(text))
    return text


def check_opened(what: str, value: Any) -> None:
    """As `opened`, for a parsed value."""
    if isinstance(value, dict) and isinstance(value.get(MARK), str) and set(value) <= {MARK, WHY, "$by"}:
        raise PayloadSealedError(what, str(value.get(WHY, NO_CODEC)))


def reason_of(text: str) -> str:
    """Why a sealed JSON text is sealed still."""
    import json

    try:
        return str(json.loads(text).get(WHY, NO_CODEC))
    except ValueError:
        return NO_CODEC


def readable(value: Any) -> Any:
    """A parsed value as people are shown it: a sentence in place of each sealed part."""
    if isinstance(value, str):
        return readable_text(value)
    if isinstance(value, list):
        return [readable(each) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get(MARK), str):
        return _sentence(value[MARK], str(value.get(WHY, NO_CODEC)))
    return {name: readable(each) for name, each in value.items()}


def readable_text(text: str) -> str:
    """A text as people are shown it: a sentence in place of each sealed one in it."""
    if TEXT_HEAD not in text and BYTES_HEAD not in text:
        return text
    import re

    pattern = re.escape(MARK) + r"(?:-bytes)?:([^\s|\"']+)(?:\|[0-9a-f]{12}\|([^\n]*))?"
    return re.sub(pattern, lambda found: _sentence(found[1], found[2] or NO_CODEC), text)


def _sentence(token: str, why: str) -> str:
    return f"(sealed by a payload codec, {len(token):,} characters: {why})"
