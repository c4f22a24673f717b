"""What a newcomer would notice, as checks: the ones that no other test of this folder holds."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

HELP_CPU_S = 0.3


def cpu_s(*arguments: str) -> float:
    """CPU seconds of a command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = "import sys; from headrace_infra.cli import main; sys.argv[0] = 'headrace'; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_is_quick(arguments: tuple[str, ...]) -> None:
    """The least of five: CPU time grows where others use the caches of this machine."""
    assert min(cpu_s(*arguments) for _ in range(5)) <= HELP_CPU_S


HEAVY = ("boto3", "botocore", "moto", "headrace.app", "rich.table", "starlette", "yaml")


@pytest.mark.parametrize(
    "arguments", ["--help", "runs list --help", "dev --help", "trigger --help", "ui --help"]
)
def test_help_imports_nothing_that_a_command_needs_only_to_run(arguments: str) -> None:
    told = f"import atexit; atexit.register(lambda: print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))"
    code = f"import sys; {told}; from headrace_infra.cli import main; sys.argv[0] = 'headrace'; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments.split()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
