"""The map of the table: what each address looks like, and that no other file makes one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from headrace.core import table
from headrace.core.changes import Key

ADDRESSES = [
    (table.run_key("r"), Key("run#r", "run")),
    (table.input_key("r"), Key("run#r", "in")),
    (table.output_key("r", "pay", 2, "f3x_"), Key("run#r", "out#pay#2#f3x_")),
    (table.line_key("r", 12, "o", 3), Key("run#r", "line#0000000000012#o#00003")),
    (table.chunk_key("r", 12, "o", 3), Key("run#r", "stream#0000000000012#o#0000003")),
    (table.join_key(table.join_partition("r", "pay", 7)), Key("join#r#pay#7", "join")),
    (table.join_key(table.join_partition("r", "pay", 7, 1)), Key("join#r#pay#7#1", "join")),
    (table.gate_key("gate#pay/0#bob"), Key("gate#pay/0#bob", "gate")),
    (table.gate_key("gate#pay/0#bob", 2), Key("places#2#gate#pay/0#bob", "gate")),
    (table.timer_key(120_000, 3, "n"), Key("timer#2#3", "0000000120000#n")),
    (table.worker_key("gpu"), Key("workers", "gpu")),
    (table.process_key("gpu", "p"), Key("workers", "gpu#p")),
    (table.static_limit_key("api"), Key("ratelimits", "api")),
    (table.plan_key("0af3"), Key("plan#0af3", "plan")),
    (table.workflow_key("pay"), Key("catalog", "pay")),
]


@pytest.mark.parametrize(("made", "expected"), ADDRESSES, ids=lambda each: f"{each.pk}|{each.sk}")
def test_an_address(made: Key, expected: Key) -> None:
    assert made == expected


def test_long_keys_fit_and_stay_different() -> None:
    one, two = "k" * 3000 + "1", "k" * 3000 + "2"
    assert table.short_key("k" * 200) == "k" * 200
    assert len(table.short_key(one).encode()) < 300
    assert table.short_key(one) != table.short_key(two)
    assert table.idempotency_partition("pay", one) != table.idempotency_partition("pay", two)
    assert len(table.idempotency_partition("pay", one)) == len("idem#pay#") + 32


MAKERS = {"core/table.py", "core/changes.py", "aws/dynamodb/store.py", "memory/store.py"}
"""Who may make a `Key`: the map, and the adapters that read keys off items."""


def test_no_other_file_makes_an_address() -> None:
    root = Path(table.__file__).parents[1]
    makers = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Key"
    }
    assert makers - MAKERS == set(), "an address of an item is made in core/table.py: add a function there"


def test_each_entry_of_the_map_says_what_it_is() -> None:
    tree = ast.parse(Path(table.__file__).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if not ast.get_docstring(node)] == []
