"""The programs in the documentation print what the page says."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import headrace
import headrace.clients.models
import headrace.errors

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TEST = re.compile(r"^(def test_\w+)\(\) -> None:", re.MULTILINE)
EXPECTED = re.compile(r"^\s*print\(.*\)   # (.+)$", re.MULTILINE)


def programs() -> list[tuple[str, str]]:
    """Each block that stands alone: it makes an app, and runs it with `local`, at the end or in a test."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        (f"{page.stem}-{number}", block)
        for page in pages
        for number, block in enumerate(BLOCK.findall(page.read_text()), start=1)
        if "import" in block
        and (
            (re.search(r"^with local\(", block, re.MULTILINE) and EXPECTED.search(block))
            or TEST.search(block)
        )
    ]


@pytest.mark.parametrize(
    ("name", "program"), programs(), ids=lambda value: value if "\n" not in value else ""
)
def test_a_program_prints_what_its_page_says(
    name: str,
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As a module of its own in this process; the README's first one is also run in a process without anything else."""
    for key in [key for key in os.environ if key.startswith(("AWS_", "HEADRACE_"))]:
        monkeypatch.delenv(key)
    monkeypatch.chdir(tmp_path)
    calls = "".join(f"\n{name.removeprefix('def ')}()" for name in TEST.findall(program))
    path = tmp_path / f"page_{name.replace('-', '_')}.py"
    path.write_text(program + calls)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    assert capsys.readouterr().out.splitlines() == EXPECTED.findall(program)


NEWCOMERS = {"README", "tutorial", "from-celery", "from-sqs"}
FEATURES = {"admission", "batch", "concepts", "events", "operate", "test", "triggers"}


def test_the_pages_for_newcomers_and_on_features_have_programs() -> None:
    pages = {name.rsplit("-", 1)[0] for name, _ in programs()}
    assert (NEWCOMERS | FEATURES) - pages == set()


MESSAGES = re.compile(r"`([^`]+)`")


def quoted() -> list[str]:
    """The pieces of the messages in the first column of the page on troubleshooting that are not names or values."""
    rows = [
        line
        for line in (ROOT / "docs" / "troubleshooting.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    found = [message for row in rows for message in MESSAGES.findall(row.split("|")[1])]
    return [piece.strip() for message in found for piece in message.split("…") if len(piece.strip()) > 5]


def product_text() -> str:
    """The source of the product, its string literals joined as Python joins them."""
    sources = [
        path.read_text() for part in ("sdk", "handlers", "infra") for path in (ROOT / part).rglob("*.py")
    ]
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))


def test_each_message_of_the_page_on_troubleshooting_is_one_that_headrace_says() -> None:
    text = product_text()
    pieces = quoted()
    assert len(pieces) > 20
    assert [piece for piece in pieces if piece not in text] == []


def test_every_public_name_is_in_the_reference() -> None:
    """A module that is listed whole stands for its names."""
    listed = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE)
    found = {name.rsplit(".", 1)[-1] for name in listed}
    models = [
        importlib.import_module(f"headrace.clients.models.{each.name}")
        for each in pkgutil.iter_modules(headrace.clients.models.__path__)
    ]
    for module in (headrace.errors, *models):
        assert module.__name__ in listed
        found |= set(vars(module))
    aliases = {"Hatchet", "V1TaskStatus"}
    constants = {"DEFAULT_DURABLE_TASK_EVICTION_POLICY"}
    assert sorted(set(headrace.__all__) - found - aliases - constants) == []


def test_the_page_on_the_architecture_is_made_from_the_code() -> None:
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page(), "docs/architecture.md is stale: make architecture"
