"""Text of users on its way to the table, to logs and to terminals."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: a lone surrogate (of a file name that is not UTF-8) as its escape, such as `\\udce9`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
