"""Programs written for Hatchet, from outside: they say `from hatchet_sdk import ...`, and run here by a change of the import alone.

Each is a whole module with its own `Hatchet()` and its own tests, as someone brings them along. Names at the top are taken from `headrace`;
deep paths by `headrace.compat`. `python tests/outside/check_programs.py` shows that the same files are programs of the real hatchet-sdk.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headrace import Hatchet, compat
from headrace.engine.engine import Limits
from headrace_infra.testing import local

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
SOON = Limits(first_look_s=0.2, second_look_s=0.4, look_every_s=0.2)
"""As usual, but that a task learns within a fraction of a second that it was cancelled."""
TESTS = [
    (path, node.name)
    for path in PROGRAMS
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
]


def changed(text: str) -> str:
    """The one change: where names at the top of the package come from."""
    return re.sub(r"^from hatchet_sdk import", "from headrace import", text, flags=re.M)


@pytest.fixture(autouse=True)
def _deep_paths() -> Iterator[None]:
    compat.install()
    yield
    compat.uninstall()


def loaded(path: Path) -> ModuleType:
    module = ModuleType(f"outside_{path.stem}")
    exec(compile(changed(path.read_text()), str(path), "exec", dont_inherit=True), module.__dict__)
    return module


@pytest.mark.filterwarnings("default::DeprecationWarning")
@pytest.mark.parametrize(("path", "name"), TESTS, ids=[f"{path.stem}-{name}" for path, name in TESTS])
def test_a_program(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded(path)
    hatchet: Hatchet = module.hatchet
    test: Callable[[], Any] = getattr(module, name)
    monkeypatch.setattr(hatchet, "use", lambda ports: Hatchet.use(hatchet, ports, limits=SOON))
    with local(hatchet, backend="memory"):
        if inspect.iscoroutinefunction(test):
            asyncio.run(test())
        else:
            test()


def test_every_program_has_tests() -> None:
    assert {path for path, _ in TESTS} == set(PROGRAMS)
