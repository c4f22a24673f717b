"""`headrace init`: a starter app."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from headrace.errors import DefinitionError
from headrace_infra.bundle import MAKEFILE
from headrace_infra.cli.console import say
from headrace_infra.cli.project.installed import requirement

TEMPLATE = "template.yaml"

APP = '''"""A starter app: a task, and a workflow of two."""

from pydantic import BaseModel

from headrace import Context, EmptyModel, Headrace

hatchet = Headrace()


class Greeting(BaseModel):
    name: str


class Greeted(BaseModel):
    text: str


@hatchet.task(name="greet", input_validator=Greeting, retries=2)
def greet(input: Greeting, ctx: Context) -> Greeted:
    ctx.log(f"greeting {input.name}")
    return Greeted(text=f"Hello, {input.name}!")


morning = hatchet.workflow(name="morning")


@morning.task()
def wake(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"slept": "well"}


@morning.task(parents=[wake])
def coffee(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"after": ctx.task_output(wake)["slept"]}


hatchet.worker("main", workflows=[greet, morning])

if __name__ == "__main__":
    from headrace_infra.testing import local

    with local(hatchet):
        print(greet.run(Greeting(name="world")).text)
        print(morning.run())
'''

TEST = '''"""Tests of the starter app: a function alone, and whole runs in memory."""

from app import Greeting, greet, hatchet, morning
from headrace_infra.testing import local


def test_the_function() -> None:
    assert greet.mock_run(Greeting(name="you")).text == "Hello, you!"


def test_whole_runs() -> None:
    with local(hatchet, backend="memory"):
        assert greet.run(Greeting(name="you")).text == "Hello, you!"
        assert morning.run()["coffee"] == {"after": "well"}
'''

README = """# A Headrace app

    pip install '{local}' pytest
    python app.py                        # run it here, on an emulated AWS
    pytest                               # test it
    headrace dev app:hatchet             # or keep it running, and trigger it from another terminal

Deploy it (AWS credentials and aws-sam-cli needed):

    headrace compile app:hatchet         # after each change of tasks or workers
    sam build && sam deploy --guided
    headrace trigger greet --input '{{"name": "world"}}' --wait --stack <your stack>
"""

REQUIREMENTS = """\
# What the functions need. `headrace init` wrote where Headrace was installed from.
{requirement}
"""
IGNORED = ".aws-sam/\n.venv/\n.headrace/\n__pycache__/\n"


def init(folder: Path) -> None:
    """Write the files and compile the template. DefinitionError, before anything is written, where one of them is there already."""
    needed = requirement()
    local = needed.replace("headrace", "headrace[local]", 1)
    files = {
        "app.py": APP,
        "test_app.py": TEST,
        "README.md": README.format(local=local),
        "requirements.txt": REQUIREMENTS.format(requirement=needed),
        "Makefile": MAKEFILE.format(template=TEMPLATE),
        ".gitignore": IGNORED,
    }
    taken = [name for name in (*files, TEMPLATE) if (folder / name).exists()]
    if taken:
        raise DefinitionError(f"{folder / taken[0]} exists already: choose an empty folder")
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            _write(folder / name, text)
            written.append(folder / name)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise DefinitionError(
            f"{folder}: nothing can be written there ({error.strerror}): choose another folder"
        ) from error
    _compile(folder)
    for name in (*files, TEMPLATE):
        say(f"wrote {folder / name}")
    here = folder.resolve() == Path.cwd()
    say(f"\nnext: {'' if here else f'cd {shlex.quote(str(folder))} && '}python app.py")


def _write(path: Path, text: str) -> None:
    with path.open("x") as file:  # a file that has appeared meanwhile is not overwritten either
        file.write(text)


def _compile(folder: Path) -> None:
    command = [sys.executable, "-m", "headrace_infra.compile", "app:hatchet", "-o", TEMPLATE]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run(command, cwd=folder, env=environment, check=True)
