"""The pytest fixture: quick, in memory, and the same test on a deployed stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pace import pace_of_work

from headrace import Context, EmptyModel, Headrace
from headrace.errors import NotConfigured
from headrace_infra.testing import local

ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join(str(ROOT / name) for name in ("sdk", "handlers", "infra"))

APP = """
from headrace import Context, EmptyModel, Headrace

hatchet = Headrace()

@hatchet.task(name="add", retries=1, backoff_factor=1.5)
def add(input: EmptyModel, ctx: Context) -> dict[str, int]:
    if ctx.retry_count == 0:
        raise RuntimeError("once")
    return {"sum": 3}

hatchet.worker("main", workflows=[add])
"""

TESTS = """
from datetime import timedelta
import pytest
from app import add, hatchet

@pytest.mark.parametrize("number", range({count}))
def test_add(headrace_local, number):
    ref = add.run(wait_for_result=False)
    headrace_local.drain()
    assert ref.result() == {{"sum": 3}}
    assert [record.run_id for record in headrace_local.runs()] == [ref.workflow_run_id]

def test_time(headrace_local):
    headrace_local.advance(timedelta(hours=1))
"""

DEPLOYED = """
import sys
from app import hatchet
import pytest
from headrace_infra.testing import local

with local(hatchet, stack="shop"):
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--stack", "shop", "-rs"]))
"""


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**environment, "PYTHONPATH": PYTHONPATH, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def _project(folder: Path, count: int) -> Path:
    (folder / "app.py").write_text(APP)
    (folder / "test_app.py").write_text(TESTS.format(count=count))
    (folder / "pytest.ini").write_text("[pytest]\nheadrace_app = app:hatchet\n")
    return folder


def test_in_memory_and_on_a_deployed_stack(tmp_path: Path) -> None:
    """The deployed one is moto's, in another `local`: the fixture reaches it by its name, as it would AWS."""
    folder = _project(tmp_path, count=1)
    here = _run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "2 passed" in here.stdout, here.stdout
    (folder / "deployed.py").write_text(DEPLOYED)
    there = _run(folder, "deployed.py")
    assert "1 passed, 1 skipped" in there.stdout, there.stdout + there.stderr
    assert "a deployed stack runs in real time" in there.stdout


def test_a_hundred_tests_take_little(tmp_path: Path) -> None:
    """Less than 3 s of CPU for their set-up and runs, beside starting Python and pytest."""
    folder = _project(tmp_path, count=100)
    (folder / "conftest.py").write_text(
        "import time\n"
        "def pytest_runtestloop(session):\n    session.began = time.process_time()\n"
        "def pytest_sessionfinish(session):\n    print(f'CPU {time.process_time() - session.began:.2f} s')\n"
    )
    done = _run(folder, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider")
    assert "101 passed" in done.stdout, done.stdout
    found = re.search(r"CPU ([\d.]+) s", done.stdout)
    assert found is not None
    assert float(found[1]) < 3 * pace_of_work()


def test_memory_makes_no_client_and_patches_nothing() -> None:
    code = """
import sys
from headrace import Context, EmptyModel, Headrace
from headrace_infra.testing import local
hatchet = Headrace()
@hatchet.task(name="a")
def a(input: EmptyModel, ctx: Context) -> dict: return {"n": 1}
with local(hatchet, backend="memory"):
    assert a.run() == {"n": 1}
assert not {"boto3", "moto", "botocore.client"} & set(sys.modules), sorted(sys.modules)
"""
    done = _run(ROOT, "-c", code)
    assert done.returncode == 0, done.stderr


def test_a_backend_that_there_is_not() -> None:
    hatchet = Headrace()

    @hatchet.task(name="a")
    def a(input: EmptyModel, ctx: Context) -> None: ...

    with (
        pytest.raises(NotConfigured, match="the backend is 'redis': give memory, moto, ministack"),
        local(hatchet, backend="redis"),  # type: ignore[arg-type]
    ):
        pass
