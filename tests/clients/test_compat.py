"""`hatchet_sdk` as an alias of Headrace."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from headrace import compat

pytestmark = pytest.mark.usefixtures("_installed")


@pytest.fixture
def _installed() -> Iterator[None]:
    compat.install()
    yield
    compat.uninstall()


def test_names_are_the_same_objects() -> None:
    from hatchet_sdk.clients.admin import WorkflowRunDetail
    from hatchet_sdk.clients.rest.models.v1_task_status import V1TaskStatus
    from hatchet_sdk.deprecated.deprecation import semver_less_than
    from hatchet_sdk.exceptions import NonRetryableException

    import headrace.clients.models
    import headrace.errors

    assert NonRetryableException is headrace.errors.NonRetryableException
    assert V1TaskStatus is headrace.clients.models.V1TaskStatus
    assert WorkflowRunDetail is headrace.clients.models.WorkflowRunDetail
    assert semver_less_than is compat.semver_less_than


def test_modules_can_be_imported_whole() -> None:
    import hatchet_sdk.clients.rest.models.v1_task_summary as deep
    import hatchet_sdk.exceptions

    assert deep.V1TaskSummary.__name__ == "V1TaskSummary"
    assert hatchet_sdk.exceptions.TaskRunError.__name__ == "TaskRunError"


def test_a_star_import_takes_what_there_is() -> None:
    names: dict[str, object] = {}
    exec("from hatchet_sdk.exceptions import *", names)
    assert "DedupeViolationError" in names


def test_what_headrace_has_not_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="NoSuchThing"):
        exec("from hatchet_sdk.exceptions import NoSuchThing", {})
    with pytest.raises(ModuleNotFoundError, match=r"hatchet_sdk\.no_such_module"):
        importlib.import_module("hatchet_sdk.no_such_module")


def test_every_module_of_the_table_imports() -> None:
    for path in compat._paths():
        assert importlib.import_module(path).__name__ == path


def test_installing_twice_keeps_the_modules() -> None:
    before = sys.modules["hatchet_sdk"]
    compat.install()
    assert sys.modules["hatchet_sdk"] is before


def test_the_real_one_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hatchet_sdk", sys)  # any module that is not ours
    with pytest.raises(ImportError, match="imported already"):
        compat.install()


def test_nothing_is_installed_unasked() -> None:
    code = "import headrace, headrace.compat, sys; sys.exit('hatchet_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("a", "b", "less"),
    [
        ("v0.78.22", "v0.78.23", True),
        ("v0.78.23", "v0.78.23", False),
        ("0.80.0", "v0.78.23", False),
        ("v0.9.0", "v0.10.0", True),
        ("v0.10.0-alpha.1", "v0.10.0", False),
    ],
)
def test_versions(a: str, b: str, less: bool) -> None:
    from hatchet_sdk.deprecated.deprecation import semver_less_than

    assert semver_less_than(a, b) is less


def test_engine_versions() -> None:
    from hatchet_sdk.engine_version import MinEngineVersion

    assert MinEngineVersion.BATCHING == "v0.88.1"
