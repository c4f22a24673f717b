"""The demo's task: measure a module of the standard library.

Source is parsed. A compiled module has none, so its first attempt fails; the retry takes the slow way and asks an
interpreter of its own. A shell script is neither: it fails finally.
"""

import ast
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

from pydantic import BaseModel

from headrace import Context
from quickstart import hatchet

STDLIB = Path(sysconfig.get_paths()["stdlib"])

BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.IfExp,
    ast.comprehension,
    ast.Assert,
    ast.match_case,
)

PROBE = """
import importlib, inspect, json, sys
module = importlib.import_module(sys.argv[1])
members = [value for name, value in vars(module).items() if not name.startswith("_")]
functions = [value for value in members if inspect.isroutine(value)]
classes = [value for value in members if inspect.isclass(value)]
documented = sum(bool(inspect.getdoc(value)) for value in functions + classes)
print(json.dumps({"functions": len(functions), "classes": len(classes), "documented": documented}))
"""


class File(BaseModel):
    path: str
    """Relative to the standard library of the Python that runs the task."""


class Function(BaseModel):
    name: str
    lines: int
    complexity: int


class Measured(BaseModel):
    path: str
    attempts: int
    compiled: bool = False
    size_bytes: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    public: int = 0
    """Public functions and classes: the ones that ought to have a docstring."""
    documented: int = 0
    longest: Function | None = None
    most_complex: Function | None = None
    imports: list[str] = []


@hatchet.task(name="measure-module", input_validator=File, retries=1)
def measure_module(input: File, ctx: Context) -> Measured:
    path = STDLIB / input.path
    if ctx.retry_count > 0 and path.suffix in {".so", ".pyd"}:
        return measure_compiled(path, attempts=ctx.attempt_number)
    return measure_source(path, attempts=ctx.attempt_number)


def measure_source(path: Path, *, attempts: int) -> Measured:
    """Parse a source file. UnicodeDecodeError or SyntaxError when it is none."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, filename=path.name)
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    public = [node for node in [*functions, *classes] if not node.name.startswith("_")]
    measured = [measure_function(node) for node in functions]
    return Measured(
        path=path.relative_to(STDLIB).as_posix(),
        attempts=attempts,
        size_bytes=path.stat().st_size,
        lines=source.count("\n"),
        functions=len(functions),
        classes=len(classes),
        public=len(public),
        documented=sum(ast.get_docstring(node, clean=False) is not None for node in public),
        longest=max(measured, key=lambda function: function.lines, default=None),
        most_complex=max(measured, key=lambda function: function.complexity, default=None),
        imports=sorted(imported(nodes)),
    )


def measure_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    """Its lines, and its cyclomatic complexity: one, and one more for each branch and each further `and`/`or`."""
    branches = 0
    for inner in ast.walk(node):
        branches += isinstance(inner, BRANCHES)
        branches += len(inner.values) - 1 if isinstance(inner, ast.BoolOp) else 0
    return Function(
        name=node.name, lines=(node.end_lineno or node.lineno) - node.lineno + 1, complexity=1 + branches
    )


def imported(nodes: list[ast.AST]) -> set[str]:
    """The top-level modules that are imported anywhere in the file."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def measure_compiled(path: Path, *, attempts: int) -> Measured:
    """Ask an interpreter of its own what a compiled module offers. ImportError when it cannot be imported."""
    module = path.name.partition(".")[0]
    command = [sys.executable, "-I", "-W", "ignore", "-c", PROBE, module]
    probe = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if probe.returncode != 0:
        raise ImportError(probe.stderr.strip().rpartition("\n")[2] or f"{module} cannot be imported")
    found = json.loads(probe.stdout)
    return Measured(
        path=path.relative_to(STDLIB).as_posix(),
        attempts=attempts,
        compiled=True,
        size_bytes=path.stat().st_size,
        functions=found["functions"],
        classes=found["classes"],
        public=found["functions"] + found["classes"],
        documented=found["documented"],
    )
