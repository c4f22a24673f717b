"""`headrace init`: a starter app."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from headrace import __version__
from headrace.errors import DefinitionError
from headrace_infra.bundle import MAKEFILE
from headrace_infra.cli.console import out

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

TEST = '''"""Tests of the starter app: a function alone, and whole runs on an emulated AWS."""

from app import Greeting, greet, hatchet, morning
from headrace_infra.testing import local


def test_the_function() -> None:
    assert greet.mock_run(Greeting(name="you")).text == "Hello, you!"


def test_whole_runs() -> None:
    with local(hatchet):
        assert greet.run(Greeting(name="you")).text == "Hello, you!"
        assert morning.run()["coffee"] == {"after": "well"}
'''

README = """# A Headrace app

    pip install 'headrace[local]' pytest
    python app.py                        # run it here, on an emulated AWS
    pytest                               # test it
    headrace dev app:hatchet             # or keep it running, and trigger it from another terminal

Deploy it (AWS credentials and aws-sam-cli needed):

    headrace compile app:hatchet         # after each change of tasks or workers
    sam build && sam deploy --guided
    HEADRACE_STACK=<your stack> headrace trigger greet --input '{"name": "world"}' --wait
"""


def init(folder: Path) -> None:
    """Write the files, unless one is there already, and compile the template."""
    files = {
        "app.py": APP,
        "test_app.py": TEST,
        "README.md": README,
        "requirements.txt": f"headrace>={__version__}\n",
        "Makefile": MAKEFILE.format(template="template.yaml"),
        ".gitignore": ".aws-sam/\n.venv/\n__pycache__/\n",
    }
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        raise DefinitionError(f"{folder / taken[0]} exists already: choose an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
        out.print(f"wrote {folder / name}")
    command = [sys.executable, "-m", "headrace_infra.compile", "app:hatchet", "-o", "template.yaml"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    out.print(f"wrote {folder / 'template.yaml'}")
    out.print(f"\nnext: cd {folder} && python app.py")
