"""`headrace init`: a starter that works untouched, and destroys nothing."""

from __future__ import annotations

import json
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from cli.conftest import Command

from headrace_infra.cli.project.installed import requirement_of

FILES = ("app.py", "test_app.py", "README.md", "requirements.txt", "Makefile", ".gitignore", "template.yaml")


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_overwritten_and_none_is_written(project: Path, headrace: Command, name: str) -> None:
    (project / name).write_text("mine")
    done = headrace("init", ".")
    assert (done.code, f"{name} exists already: choose an empty folder" in done.err) == (1, True)
    assert [each.name for each in project.iterdir()] == [name]
    assert (project / name).read_text() == "mine"


@pytest.mark.parametrize("place", ["/proc/nowhere", "a-file", "a-file/below"])
def test_a_folder_that_cannot_be_written(project: Path, headrace: Command, place: str) -> None:
    (project / "a-file").write_text("mine")
    done = headrace("init", place)
    assert (done.code, "nothing can be written there" in done.err) == (1, True)
    assert done.err.count("\n") == 1


class Installed(Distribution):
    """What pip noted of an installation."""

    def __init__(self, origin: object | None) -> None:
        self._origin = origin

    @property
    def version(self) -> str:
        return "1.2.3"

    def read_text(self, filename: str) -> str | None:
        return None if self._origin is None else json.dumps(self._origin)

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (None, "headrace>=1.2.3"),
        ({"url": "file:///src/headrace", "dir_info": {"editable": True}}, "headrace @ file:///src/headrace"),
        ({"url": "file:///w/headrace-1.2.3-py3-none-any.whl", "archive_info": {}}, "headrace @ file:///w/headrace-1.2.3-py3-none-any.whl"),
        ({"url": "https://git.example/h", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "headrace @ git+https://git.example/h@abc"),
    ],
)  # fmt: skip
def test_the_requirement_installs_what_is_installed(origin: object | None, line: str) -> None:
    assert requirement_of(Installed(origin)) == line
