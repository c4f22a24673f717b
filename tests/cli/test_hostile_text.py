"""What log lines and errors hold reaches a terminal as text: no escape sequence of theirs does."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from cli.conftest import Command

from headrace import Context, EmptyModel, Headrace
from headrace_infra.cli.console import SafeConsole
from headrace_infra.testing import local

HOSTILE = "\x1b[2J\x1b]0;owned\x07 and \x9b31m [red]brackets[/]\r\n\tafter"

hatchet = Headrace()


@hatchet.task(name="hostile")
def hostile(input: EmptyModel, ctx: Context) -> dict[str, str]:
    ctx.log(HOSTILE)
    raise RuntimeError(HOSTILE)


hatchet.worker("main", workflows=[hostile])


def test_no_escape_sequence_of_a_log_line_or_an_error_reaches_the_terminal(
    project: Path, headrace: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_STACK", "shop")
    with local(hatchet, stack="shop"):
        ref = hostile.run(wait_for_result=False)
        with pytest.raises(Exception, match="owned"):
            ref.result()
        for command in ("get", "logs"):
            done = headrace("runs", command, ref.workflow_run_id)
            assert done.code == 0, done
            assert not [each for each in done.out + done.err if not each.isprintable() and each not in "\n\t"]
            assert "␛[2J␛]0;owned" in done.out
            assert "[red]brackets[/]" in done.out


def test_colours_of_the_command_itself_stay() -> None:
    printed = io.StringIO()
    console = SafeConsole(file=printed, force_terminal=True, color_system="standard")
    console.print("[red]a\x1b[2Jb[/]", highlight=False)
    assert printed.getvalue() == "\x1b[31ma␛[2Jb\x1b[0m\n"
