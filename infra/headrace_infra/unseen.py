"""Workers that are declared where importing the app does not reach: inside a function, as Hatchet's examples do in `main()`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LARGEST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenWorker:
    """A call of `.worker("name", ...)` that has not run."""

    path: Path
    line: int
    name: str
    function: str

    def sentence(self, fleet: str) -> str:
        """What it means for the template, and what to do."""
        return (
            f"{self.path}:{self.line} declares worker {self.name!r} inside {self.function}(), which importing does not run: its name, "
            f"slots, memory and workflows are not in the template, which has {fleet}. Move the call to the top level of the module"
        )


def unseen_workers(folder: Path, declared: set[str]) -> list[UnseenWorker]:
    """Those in the modules of `folder` that are imported, except of names that are declared."""
    found = [each for path in _modules(folder.resolve()) for each in _in_file(path)]
    return [each for each in found if each.name not in declared]


def _modules(folder: Path) -> list[Path]:
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    paths = {Path(file).resolve() for file in files if file is not None and file.endswith(".py")}
    return sorted(
        path
        for path in paths
        if path.is_relative_to(folder) and "site-packages" not in path.parts and not _is_own(path)
    )


def _is_own(path: Path) -> bool:
    """Headrace's own sources, which a checkout has below the folder too."""
    return {"headrace", "headrace_infra", "headrace_handlers", "headrace_dashboard"} & set(
        path.parts[-6:]
    ) != set()


def _in_file(path: Path) -> Iterator[UnseenWorker]:
    try:
        text = path.read_text()
        tree = ast.parse(text) if len(text) < LARGEST_BYTES else ast.Module(body=[], type_ignores=[])
    except (OSError, SyntaxError, UnicodeDecodeError):
        return
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in ast.walk(function):
            name = _worker_name(call)
            if name is not None and isinstance(call, ast.Call):
                yield UnseenWorker(path=path, line=call.lineno, name=name, function=function.name)


def _worker_name(node: ast.AST) -> str | None:
    """The name in `anything.worker("name", ...)`."""
    if not (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "worker"
    ):
        return None
    given = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "name")]
    first = given[0] if given else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
