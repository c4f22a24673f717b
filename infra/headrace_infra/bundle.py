"""What `sam build` runs for each function, by the Makefile of the app's folder: the folder and its requirements, with bytecode.

SAM's own Python builder ships no bytecode, which doubles the time of a cold start; and it cannot read requirements that
lie outside of the folder. This file imports the standard library only and runs by its path, so that a build needs nothing
installed but Python with pip.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MARK = ".headrace-bundle.json"
LOCK = "requirements.lock"
"""The app's requirements with hashes, if it has them."""

HOW_TO_LOCK = "lock it with `uv pip compile --generate-hashes requirements.txt -o requirements.lock`"
BUILD_DIR = "build"
"""The folder in which one run of `sam build` makes all its artefacts; SAM empties it first."""

NOT_SHIPPED = ("bin", "headrace_infra", "pip", "setuptools", "__pycache__")
NOT_SOURCE = frozenset(
    {"Makefile", "requirements.txt", "requirements.lock", "template.yaml", "samconfig.toml", "__pycache__"}
)

MAKEFILE = """\
# `sam build` asks for one target a function: this folder and its requirements.txt, with bytecode.
HERE := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
PYTHON ?= $(firstword $(wildcard $(HERE).venv/bin/python) python3)

build-%:
\t@$(PYTHON) -m headrace_infra.bundle $* --source "$(HERE)" --template "$(HERE){template}" --into "$(ARTIFACTS_DIR)"
"""
"""The Makefile of an app's folder; `{template}` is the template's path seen from there."""


class BundleError(Exception):
    """A bundle that cannot be built, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a bundle is built for."""

    runtime: str
    architecture: str
    source: str

    @property
    def version(self) -> str:
        return self.runtime.removeprefix("python")


def target_of(template: str, function: str, source: Path) -> Target:
    """Runtime and architecture of a function, from the text of a compiled template. BundleError if it has none such."""
    block = re.search(rf"^  {re.escape(function)}:\n((?:    .*\n|\s*\n)*)", template, re.MULTILINE)
    runtime = block and re.search(r"^ +Runtime: *(python3\.\d+)$", block[1], re.MULTILINE)
    architecture = block and re.search(r"^ +Architectures:\n +- *(\w+)$", block[1], re.MULTILINE)
    if not runtime or not architecture:
        raise BundleError(f"the template names no runtime and architecture of {function}: compile it again")
    return Target(runtime=runtime[1], architecture=architecture[1], source=str(source))


def build(target: Target, into: Path) -> None:
    """Make the bundle in `into`, or copy one that the same `sam build` has made for the same target."""
    into.mkdir(parents=True, exist_ok=True)
    twin = _twin(target, into)
    if twin is not None:
        shutil.copytree(twin, into, dirs_exist_ok=True, copy_function=_link)
        return
    source = Path(target.source)
    _install(target, source, into)
    _copy_source(source, into)
    for name in NOT_SHIPPED:
        shutil.rmtree(into / name, ignore_errors=True)
    _compile(target, into)
    _materials(into, source.name)
    (into / MARK).write_text(json.dumps(asdict(target) | {"source": source.name}))


def _twin(target: Target, into: Path) -> Path | None:
    if into.parent.name != BUILD_DIR:
        return None  # a cache that outlives this build would be stale after the next edit
    wanted = asdict(target) | {"source": Path(target.source).name}
    for mark in sorted(into.parent.glob(f"*/{MARK}")):
        if mark.parent != into and json.loads(mark.read_text()) == wanted:
            return mark.parent
    return None


def _link(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)


def platforms(target: Target) -> list[str]:
    """The wheels that the function's operating system runs: glibc 2.26 under Python 3.11, 2.34 from 3.12 on."""
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[target.architecture]
    newest = 26 if target.version == "3.11" else 34
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)]
    return [*tags, f"manylinux2014_{machine}", f"linux_{machine}"]


def _materials(into: Path, name: str) -> None:
    """The bill of what is in it. This file may run by its path, so its neighbour is loaded by its own."""
    neighbour = runpy.run_path(str(Path(__file__).with_name("materials.py")))
    neighbour["write_materials"](into, name=name)


def _install(target: Target, source: Path, into: Path) -> None:
    """What is locked, by its hashes; else whatever the package index gives today, which is said."""
    requirements, lock = source / "requirements.txt", source / LOCK
    if not requirements.exists():
        raise BundleError(f"{source} has no requirements.txt: make one that names headrace")
    if lock.exists():
        _pip(target, source, into, lock, "--require-hashes", "--no-deps")
        local = [line for line in _lines(requirements) if _is_local(line)]
        if local:  # a folder has no hash: what it needs has to be in the lock
            own = into / ".local-requirements.txt"
            own.write_text("\n".join(local) + "\n")
            _pip(target, source, into, own, "--no-deps")
            own.unlink()
        _check_locked(into, source)
    elif any("--hash" in line for line in _lines(requirements)):
        _pip(target, source, into, requirements, "--require-hashes")
    else:
        print(f"{requirements} has no hashes, so the bundle has what the package index gives today: {HOW_TO_LOCK}", file=sys.stderr)  # fmt: skip
        _pip(target, source, into, requirements)


def _lines(requirements: Path) -> list[str]:
    found = (line.strip() for line in requirements.read_text().splitlines())
    return [line for line in found if line and not line.startswith("#")]


def _is_local(line: str) -> bool:
    """Whether a requirement is a folder or a file, which no index has."""
    return line.startswith((".", "/", "file:")) or " @ file:" in line


def _check_locked(into: Path, source: Path) -> None:
    """BundleError where something that was installed needs what the lock has not: with `--no-deps` pip does not look."""
    there = {_plain(each.name.partition("-")[0]) for each in into.glob("*.dist-info")}
    for folder in into.glob("*.dist-info"):
        for line in (folder / "METADATA").read_text(errors="replace").splitlines():
            needed = re.match(r"Requires-Dist: *([A-Za-z0-9._-]+)([^;]*)$", line)  # those without a condition
            if needed and _plain(needed[1]) not in there:
                raise BundleError(
                    f"{folder.name.partition('-')[0]} needs {needed[1]}, and {source / LOCK} does not have it: {HOW_TO_LOCK}"
                )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip(target: Target, source: Path, into: Path, requirements: Path, *options: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    command += [*options, "--requirement", str(requirements), "--target", str(into), "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", target.version]
    for platform in platforms(target):
        command += ["--platform", platform]
    finished = subprocess.run(command, cwd=source, check=False, stdout=sys.stderr)
    if finished.returncode:
        raise BundleError(
            f"pip could not install {requirements} for {target.runtime} on {target.architecture}: see above"
        )


def _copy_source(source: Path, into: Path) -> None:
    def unwanted(folder: str, names: list[str]) -> set[str]:
        place = Path(folder)
        out = {name for name in names if name.startswith(".") or name.endswith(".pyc")}
        out |= {name for name in names if (place / name / "pyvenv.cfg").exists()}
        return out | (NOT_SOURCE if place == source else {"__pycache__"})

    shutil.copytree(source, into, dirs_exist_ok=True, ignore=unwanted)


def _compile(target: Target, into: Path) -> None:
    """Bytecode that is used without a look at its source, whose times a zip file does not keep."""
    python = _python(target.version)
    if python is None:
        print(f"No {target.runtime} here: the bundle has no bytecode, so cold starts take twice as long.", file=sys.stderr)  # fmt: skip
        return
    command = [python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(into), "-p", "/var/task", str(into)]
    subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL
    )  # files for other Pythons need not compile


def _python(version: str) -> str | None:
    if sys.version.startswith(f"{version}."):
        return sys.executable
    return shutil.which(f"python{version}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="headrace_infra.bundle", description="Build the artefact of a function."
    )
    parser.add_argument("function", help="its logical id in the template")
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument(
        "--source", type=Path, required=True, help="the app's folder, with its requirements.txt"
    )
    parser.add_argument("--into", type=Path, required=True, help="the artefact's folder")
    given = parser.parse_args(arguments)
    try:
        target = target_of(given.template.read_text(), given.function, given.source.resolve())
        build(target, given.into)
    except BundleError as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
