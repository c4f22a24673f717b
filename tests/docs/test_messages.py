"""Every sentence of an error that a user can meet, read from the source; `pytest tests/docs/test_messages.py -s` prints them in a row."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = (
    "sdk/headrace",
    "handlers/headrace_handlers",
    "infra/headrace_infra",
    "dashboard/headrace_dashboard",
)
INTERNAL = frozenset({"AttributeError", "AssertionError", "StopIteration", "SystemExit"})
"""What these say is for Python, or for a developer of Headrace."""

RIDDLES = re.compile(r"\b(whoever|nobody|somebody|someone who)\b", re.IGNORECASE)
VAGUE = re.compile(r"\b(something went wrong|invalid value$|bad input|unexpected error)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """A sentence, with `{…}` where a value stands, and where it is made."""

    text: str
    where: str
    error: str


def _text(node: ast.expr) -> str | None:
    """The text of a literal or of an f-string; None where there is no literal in it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "{…}" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            found = (_text(left), _text(right))
            return None if found == (None, None) else "".join(part or "{…}" for part in found)
        case _:
            return None


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_error(name: str) -> bool:
    endings = (
        "Error",
        "Exception",
        "Unavailable",
        "NotFound",
        "Denied",
        "Refused",
        "Configured",
        "Cancelled",
    )
    return name.endswith(endings) and name not in INTERNAL


def messages() -> Iterator[Message]:
    """The first argument of each error that is made."""
    for path in sorted(path for part in PRODUCT for path in (ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _is_error(_name(node.func)) and node.args:
                text = _text(node.args[0])
                if text is not None:
                    yield Message(
                        text=text, where=f"{path.relative_to(ROOT)}:{node.lineno}", error=_name(node.func)
                    )


ALL = sorted(set(messages()))


def test_there_are_messages_to_read() -> None:
    print()
    for each in ALL:
        print(f"{each.error}: {each.text}   [{each.where}]")
    assert len(ALL) > 250


@pytest.mark.parametrize("rule", [RIDDLES, VAGUE], ids=["riddles", "vague"])
def test_no_message_is_a_riddle(rule: re.Pattern[str]) -> None:
    assert [f"{each.where}: {each.text}" for each in ALL if rule.search(each.text)] == []


def test_a_message_says_what_is_wrong_with_what() -> None:
    """Two words tell nothing: the thing, and what is wrong with it. A text that is handed on whole is made elsewhere."""
    own = [each for each in ALL if re.search(r"\w", each.text.replace("{…}", ""))]
    short = [f"{each.where}: {each.text}" for each in own if len(each.text.split()) < 3]
    assert [
        each for each in short if not each.endswith(": a message")
    ] == []  # it has its size, and the limit
