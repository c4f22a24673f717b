"""The README's first block, pasted into a file and run by a newcomer who has installed Headrace and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join(str(ROOT / name) for name in ("sdk", "handlers", "infra"))
EXTRAS = ("typer", "rich", "yaml", "moto", "watchfiles", "starlette", "uvicorn", "pytest")
WITHOUT_EXTRAS = f"""
import runpy, sys
for name in {EXTRAS!r}:
    sys.modules[name] = None  # as if it were not installed
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def clean() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADRACE_"))}
    return {**kept, "PYTHONPATH": PYTHONPATH}


def pasted(file: Path, text: str) -> subprocess.CompletedProcess[str]:
    file.write_text(text)
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, str(file)],
        cwd=file.parent,
        env=clean(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_first_block_of_the_readme_prints_what_its_comment_says(tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    comment = re.findall(r"# (.*)\n", block[1])[-1]
    done = pasted(tmp_path / "first.py", block[1])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{comment}\n", "")


def test_what_needs_an_extra_says_which(tmp_path: Path) -> None:
    text = """
from headrace import Context, EmptyModel, Headrace
from headrace_infra.testing import local
hatchet = Headrace()

@hatchet.task(name="a")
def a(input: EmptyModel, ctx: Context) -> None: ...

with local(hatchet):
    a.run()
"""
    done = pasted(tmp_path / "app.py", text)
    assert done.returncode == 1
    assert done.stderr.endswith("the local runtime needs moto: pip install 'headrace[local]'\n")
    compiling = "from headrace_infra.compile import main; main(['nothing:app'])"
    done = pasted(
        tmp_path / "compiling.py",
        f"open('nothing.py', 'w').write({text.partition('with')[0]!r} + 'app = hatchet'); {compiling}",
    )
    assert done.stderr.endswith("a template is written with PyYAML: pip install 'headrace[cli]'\n"), (
        done.stderr
    )
    done = pasted(tmp_path / "command.py", "from headrace_infra.cli import main; main()")
    assert done.stderr == "the command line needs its extra: pip install 'headrace[cli]'\n"
