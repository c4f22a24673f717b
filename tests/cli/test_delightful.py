"""What a newcomer would notice, as checks: where each is, and the ones that no other test holds."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.pace import pace_of_starts

HELP_CPU_S = 0.3
TESTS = Path(__file__).parents[1]

# The moment, and what is delightful about it -> the tests that hold it.
CHECKS = {
    "install: init, run, no edit and no account": ["infra/test_cli.py::test_the_starter_runs_and_tests_itself"],
    "the README's first block prints its comment": ["cli/test_first_hour.py::test_the_first_block_of_the_readme_prints_what_its_comment_says"],
    "dev: an example that succeeds; a second terminal without exports": ["infra/test_cli.py::test_dev_runs_an_app_and_another_terminal_triggers_it"],
    "an edit with a mistake: file and line, the old worker goes on; a new worker on save": ["cli/test_dev.py::test_an_edit_a_mistake_and_a_new_worker"],
    "print and breakpoint in a task": ["cli/test_dev.py::test_a_breakpoint_is_a_prompt_at_the_terminal"],
    "a task kills its process: the worker is back": ["cli/test_dev.py::test_a_task_that_ends_its_process"],
    "a run failed at night: input, traceback, attempts, log, parent, run again": [
        "cli/test_runs.py::test_a_failed_run_shows_all_that_is_known",
        "dashboard/test_pages.py::test_a_run_shows_why_it_failed_its_input_and_its_log",
        "browser/test_dashboard.py::test_a_run_is_run_again",
    ],
    "runs list: every run of the stack by its name alone, in few requests": [
        "cli/test_runs.py::test_a_stack_is_listed_by_its_name_alone",
        "dashboard/test_budgets.py::test_a_list_makes_few_requests",
    ],
    "a script: JSON, whole ids, an exit code for each miss": [
        "cli/test_runs.py::test_a_result_is_json_on_stdout_and_nothing_else",
        "cli/test_runs.py::test_a_miss_is_one_sentence_and_not_a_success",
    ],
    "a wrong name: did you mean": ["cli/test_mistakes.py::test_a_command_that_cannot_work"],
    "tracebacks: the user's frames only": ["cli/test_loading.py::test_the_whole_traceback_is_one_option_away"],
    "a hundred tests in less than 3 s; the same test on a deployed stack": [
        "cli/test_plugin.py::test_a_hundred_tests_take_little",
        "cli/test_plugin.py::test_in_memory_and_on_a_deployed_stack",
    ],
    "a module of Hatchet's: its worker is found, or compile says what it did not see": ["cli/test_loading.py::test_compile_says_which_worker_it_did_not_see"],
    "from Celery: the replacements run": ["docs/test_pages.py::test_the_pages_for_newcomers_and_on_features_have_programs"],
    "the first trigger after sam deploy works": ["deployed/test_starter.py::test_init_build_deploy_trigger"],
    "nothing is overwritten unasked": ["cli/test_init.py::test_no_file_is_overwritten_and_none_is_written"],
    "Ctrl-C, a closed terminal: nothing left running, one line": [
        "cli/test_dev.py::test_it_ends_in_any_second_with_one_line",
        "cli/test_dev.py::test_nothing_is_left_when_it_is_killed",
    ],
}  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_each_moment_is_held_by_a_test(check: str) -> None:
    for name in CHECKS[check]:
        file, _, test = name.partition("::")
        assert f"def {test}(" in (TESTS / file).read_text(), name


def cpu_s(*arguments: str) -> float:
    """CPU seconds of a command in a process of its own, which keeps the bytecode of what it imports."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = "import sys; from headrace_infra.cli import main; sys.argv[0] = 'headrace'; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
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
    """The least of five, on a machine of the pace that the limit is for."""
    assert min(cpu_s(*arguments) for _ in range(5)) <= HELP_CPU_S * pace_of_starts()


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
