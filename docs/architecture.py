"""Write docs/architecture.md from the code: `make architecture`. A test fails when the page is stale.

The tree and its sentences are the modules' docstrings, the arrows are the import contracts that `make lint` holds, the table is core/table.py.
"""

from __future__ import annotations

import ast
import inspect
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from headrace.core import table
from headrace.core.changes import Key

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = (
    "sdk/headrace",
    "handlers/headrace_handlers",
    "infra/headrace_infra",
    "dashboard/headrace_dashboard",
)

HEAD = """\
# Architecture

Made from the code by `make architecture`: change a docstring, a contract or a key, not this page.

A task's way never turns back: `Task.run` → `triggers.start` → `engine.runs.start` → queue ‖ `handlers.worker` → `engine.runs.deliver` → claim →
permits → `runtime` → commit → pay what is owed → delete the message.

*What happens when X is full?* `engine/waits/kinds/X.py`. *What is legal?* `core/`, by the same word. *What may I write?* `options/`, by the same word.
*What is in the table?* [Below](#the-table), and `core/table.py`.
"""


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return first.replace("|", "\\|")


def folders() -> Iterator[tuple[Path, list[Path]]]:
    """Each package with the modules in it, from the top."""
    for package in PACKAGES:
        for folder in [
            ROOT / package,
            *sorted(path for path in (ROOT / package).rglob("*") if path.is_dir()),
        ]:
            files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
            if (folder / "__init__.py").exists():
                yield folder, files


def tree() -> Iterator[str]:
    """The house."""
    yield "## The house\n"
    for folder, files in folders():
        yield f"### {folder.relative_to(ROOT)}\n"
        yield f"{sentence(folder / '__init__.py')}\n"
        if files:
            yield "| file | |\n|---|---|"
            yield "\n".join(f"| `{path.name}` | {sentence(path)} |" for path in files) + "\n"


def arrows() -> Iterator[str]:
    """The contracts of pyproject.toml and of siblings.toml."""
    files = [tomllib.loads((ROOT / name).read_text()) for name in ("pyproject.toml", "siblings.toml")]
    contracts = [each for file in files for each in file["tool"]["importlinter"]["contracts"]]
    yield "## The arrows\n"
    yield "`make lint` fails where one of these does not hold. A layer may import those below it.\n"
    for contract in contracts:
        yield f"### {contract['name'][0].upper()}{contract['name'][1:]}\n"
        yield from _contract(contract)


def _contract(contract: dict[str, Any]) -> Iterator[str]:
    match contract["type"]:
        case "layers":
            where = f" in `{'`, `'.join(contract['containers'])}`" if "containers" in contract else ""
            yield f"Layers{where}, from the top: {' → '.join(f'`{layer}`' for layer in contract['layers'])}\n"
        case "forbidden":
            yield f"`{'`, `'.join(contract['source_modules'])}` import none of `{'`, `'.join(contract['forbidden_modules'])}`.\n"
        case kind:
            yield f"No circle among what is in `{'`, `'.join(contract.get('ancestors', []))}` (contract `{kind}`).\n"
    for each in contract.get("ignore_imports", []):
        yield f"- but for {each}"
    if contract.get("ignore_imports"):
        yield ""


def rows() -> Iterator[str]:
    """The items of the table, and its indexes."""
    yield "## The table\n"
    yield "One table. An item's partition and sort key, by the function that makes them:\n"
    yield "| function | partition | sort key | holds |\n|---|---|---|---|"
    for function in _functions():
        made = _called(function)
        what = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        if isinstance(made, Key):
            yield f"| `{function.__name__}` | `{made.pk}` | `{made.sk}` | {what} |"
    yield ""
    yield "Its indexes hold keys only: " + ", ".join(
        f"`{name}` ({partition}, {sort})" for name, (partition, sort) in table.INDEXES.items()
    )


def _functions() -> list[Callable[..., Any]]:
    found = [
        each for _, each in inspect.getmembers(table, inspect.isfunction) if each.__module__ == table.__name__
    ]
    return sorted(found, key=lambda each: each.__code__.co_firstlineno)


class _Number(int):
    """Stands for a number in a key: shows its parameter's name whatever the format."""

    name = ""

    def __format__(self, spec: str) -> str:
        return f"<{self.name}>"

    __str__ = __repr__ = lambda self: f"<{self.name}>"


def _called(function: Callable[..., Any]) -> object:
    """What the function gives for its parameters' names; None where it takes something else than texts and numbers."""
    given: list[object] = []
    for name, parameter in inspect.signature(function).parameters.items():
        number = _Number(0)
        number.name = name
        given.append(number if parameter.annotation == "int" else f"<{name}>")
    try:
        return function(*given)
    except (TypeError, ValueError, AttributeError, KeyError):
        return None


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *tree(), *arrows(), *rows()]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(
            0
            if PAGE.exists() and PAGE.read_text() == page()
            else "docs/architecture.md is stale: make architecture"
        )
    PAGE.write_text(page())
