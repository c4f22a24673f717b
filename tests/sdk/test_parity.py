"""docs/parity.md is whole and fresh, and each of its rows names a test that exists."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from headrace import Context, EmptyModel, Hatchet, MCPProvider
from headrace_infra.testing import local

ROOT = Path(__file__).parents[2]
LAST = {"A": 23, "B": 10, "C": 5, "D": 28, "E": 7, "F": 11, "G": 10, "H": 18, "I": 14}


@pytest.fixture(scope="module")
def parity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_page", ROOT / "docs" / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_fresh(parity: ModuleType) -> None:
    assert parity.PAGE.read_text() == parity.page(), "docs/parity.md is stale: make parity"


def test_every_row_is_there_and_says_why(parity: ModuleType) -> None:
    found = list(parity.rows())
    assert [row.id for row in found] == [
        *(f"{k}{n}" for k, last in LAST.items() for n in range(1, last + 1)),
        "J",
    ]
    assert {row.state for row in found} == set(parity.STATES)
    assert [row.id for row in found if bool(row.note) is (row.state == "works")] == []


def test_every_row_names_a_test_that_exists(parity: ModuleType) -> None:
    missing = []
    for row in parity.rows():
        file, _, name = row.test.partition("::")
        path = ROOT / "tests" / file
        names = {each.name for each in ast.parse(path.read_text()).body if isinstance(each, ast.FunctionDef)}
        if name not in names:
            missing.append((row.id, row.test))
    assert missing == []


# ---- rows that no other test shows


def step(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


def test_a_standalone_task_is_added_to_a_workflow() -> None:
    app = Hatchet()
    flow = app.workflow(name="flow")
    flow.add_task(app.task(name="task")(step))
    with local(app, backend="memory"):
        assert flow.run() == {"task": {"n": 1}}
    with pytest.raises(TypeError, match="is not a standalone task"):
        flow.add_task(flow)  # type: ignore[arg-type]  # a workflow


class Question(BaseModel):
    text: str


def test_a_tool_needs_a_description_a_validator_and_its_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Hatchet()
    with pytest.raises(ValueError, match="a tool needs a description"):
        app.workflow(name="a", input_validator=Question).mcp_tool(MCPProvider.CLAUDE)
    with pytest.raises(ValueError, match="a tool needs an input_validator"):
        app.workflow(name="b", description="b").mcp_tool(MCPProvider.OPENAI)
    flow = app.workflow(name="c", description="c", input_validator=Question)
    for provider, module, package in (
        (MCPProvider.CLAUDE, "claude_agent_sdk", "claude-agent-sdk"),
        (MCPProvider.OPENAI, "agents", "openai-agents"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=f"pip install {package}"):
            flow.mcp_tool(provider)
