"""`sam build` and `sam deploy`, as a user runs them: in a clean checkout, with nothing of this process in their environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SAM = REPOSITORY / ".venv-sam" / "bin" / "sam"


def checkout(to: Path) -> Path:
    """A copy of what a commit of the work tree would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    ).stdout
    for name in listed.decode().split("\0"):
        source = REPOSITORY / name
        if name and source.is_file():
            target = to / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return to


def sam(folder: Path, *arguments: str, extra: dict[str, str]) -> str:
    """Run `sam` in `folder` and give what it printed, which is the error's text where it fails."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "HEADRACE_", "PYTHON", "SAM_"))
    }
    home = folder / ".home"
    home.mkdir(exist_ok=True)
    environment = kept | {
        "HOME": str(home),
        "PATH": f"{SAM.parent}{os.pathsep}{kept['PATH']}",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.3",
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
        **extra,
    }
    done = subprocess.run(
        [str(SAM), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode:
        raise AssertionError(
            f"sam {' '.join(arguments)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        )
    return done.stdout


def deploy(folder: Path, stack: str, *, extra: dict[str, str]) -> None:
    sam(
        folder,
        "deploy",
        "--stack-name",
        stack,
        "--resolve-s3",
        "--capabilities",
        "CAPABILITY_IAM",
        "--no-confirm-changeset",
        "--no-progressbar",
        extra=extra,
    )
