"""The repository's template.yaml: that of the examples as they are, and nothing a linter finds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_infra.bundle import BundleError, platforms, target_of
from headrace_infra.compile import compile_app, load_app, render

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = REPOSITORY / "template.yaml"
FUNCTIONS = re.findall(r"^  (\w+):\n    Type: AWS::Serverless::Function$", TEMPLATE.read_text(), re.MULTILINE)


def test_it_is_what_the_examples_compile_to() -> None:
    """For the Python that compiled it: any newer one runs this test too."""
    runtime = re.search(r"Runtime: (python3\.\d+)", TEMPLATE.read_text())
    assert runtime
    app = load_app("app:hatchet", REPOSITORY / "examples")
    compiled = compile_app(app, app_path="app:hatchet", code_uri="examples", runtime=runtime[1])
    assert TEMPLATE.read_text() == render(compiled, app_path="app:hatchet"), "stale: run `make template`"


def test_cfn_lint_finds_nothing() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(TEMPLATE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_template_has_a_function_for_each_lambda_worker() -> None:
    assert {"ExamplesFunction", "ReportsFunction", "ClockFunction", "DeadLettersFunction"} <= set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_build_finds_what_a_function_runs_on(function: str) -> None:
    target = target_of(TEMPLATE.read_text(), function, REPOSITORY / "examples")
    assert re.fullmatch(r"python3\.\d+", target.runtime)
    assert target.architecture == "x86_64"
    assert platforms(target)[-2:] == ["manylinux2014_x86_64", "linux_x86_64"]


def test_the_build_says_which_function_it_does_not_find() -> None:
    with pytest.raises(BundleError, match="OtherFunction"):
        target_of(TEMPLATE.read_text(), "OtherFunction", REPOSITORY)
