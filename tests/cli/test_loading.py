"""An app that cannot be loaded: the place and the message, in the user's own lines only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli.conftest import Command

from headrace.errors import CompileError, HeadraceError
from headrace_infra.loading import AppBroken, load_app

GOOD = "from headrace import Headrace\nhatchet = Headrace()\n\n@hatchet.task()\ndef greet(input, ctx): ...\n"

BROKEN = {
    "missing package": ("import nothere\n", "broken.py:1: ModuleNotFoundError: No module named 'nothere'"),
    "syntax": ("def f(:\n    pass\n", "broken.py:1: SyntaxError: invalid syntax\n    def f(:\n          ^"),
    "own code": ("def f():\n    return 1 / 0\nf()\n", "broken.py:2: ZeroDivisionError: division by zero\n  broken.py:3 in <module>: f()\n  broken.py:2 in f: return 1 / 0"),
    "exit": ("raise SystemExit(3)\n", "broken.py:1: SystemExit(3) ended the import: start things only under if __name__"),
    "a definition": (GOOD + "\n@hatchet.task(name='greet')\ndef other(input, ctx): ...\n", "two workflows are named 'greet'"),
    "an option": (GOOD + "\n@hatchet.task(retry=3)\ndef other(input, ctx): ...\n", "broken.py:7: TypeError"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_the_users_line_and_message(project: Path, case: str) -> None:
    text, message = BROKEN[case]
    (project / "broken.py").write_text(text)
    with pytest.raises(AppBroken) as caught:
        load_app("broken:hatchet", project)
    assert message in str(caught.value)
    assert "importlib" not in str(caught.value)
    assert "headrace_infra" not in str(caught.value)


MISTAKEN = {
    "good:greet": "good:greet is a Standalone, not an app: did you mean good:hatchet?",
    "good:hatcht": "module good has no hatcht: did you mean good:hatchet?",
    "god:hatchet": "did you mean good?",
    "good.py": "'good.py' names no app: give module:attribute, such as good:hatchet",
    "good.sub:hatchet": "there is no module good.sub",
    "empty:hatchet": "module empty has no hatchet: empty has no Headrace(): make one",
}


@pytest.mark.parametrize("path", MISTAKEN)
def test_a_path_that_is_not_an_app(project: Path, path: str) -> None:
    (project / "good.py").write_text(GOOD)
    (project / "empty.py").write_text("")
    with pytest.raises(CompileError, match=re.escape(MISTAKEN[path])):
        load_app(path, project)


def test_the_whole_traceback_is_one_option_away(project: Path, headrace: Command) -> None:
    (project / "broken.py").write_text("1 / 0\n")
    short, whole = headrace("compile", "broken:hatchet"), headrace("--debug", "compile", "broken:hatchet")
    assert (short.code, whole.code) == (1, 1)
    assert (
        short.err
        == "error: broken.py:1: ZeroDivisionError: division by zero\n  broken.py:1 in <module>: 1 / 0\n"
    )
    assert "Traceback" in whole.err
    assert "importlib" in whole.err


HIDDEN = (
    GOOD
    + """
def main():
    hatchet.worker("big", slots=10, workflows=[greet]).start()

if __name__ == "__main__":
    main()
"""
)


def test_compile_says_which_worker_it_did_not_see(project: Path, headrace: Command) -> None:
    (project / "hidden.py").write_text(HIDDEN)
    done = headrace("compile", "hidden:hatchet")
    assert done.code == 0
    assert "hidden.py:8 declares worker 'big' inside main(), which importing does not run" in done.err
    assert "one named default" in done.out
    (project / "seen.py").write_text(
        GOOD + "hatchet.worker('big', workflows=[greet], maximum_concurrency=5)\n"
    )
    seen = headrace("compile", "seen:hatchet")
    assert (seen.code, seen.err, "1 workflow on big" in seen.out) == (0, "", True)


def test_errors_of_apps_are_headraces() -> None:
    assert issubclass(AppBroken, HeadraceError)
