"""One emulated AWS for all deployed tests, with three stacks: the examples, an app that gives trouble, and one that events start."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from deployed.sam import SAM, checkout, deploy, sam
from headrace.aws.wiring import connect
from headrace.settings.settings import Settings
from headrace_infra.bundle import MAKEFILE
from headrace_infra.compile import compile_app, render
from headrace_infra.ministack import Ministack, ministack, python_with_ministack

STACK = "headrace-test"
TROUBLE_STACK = "trouble-test"
EVENTFUL_STACK = "eventful-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A deployed stack, and the app whose runs go to it."""

    name: str
    app: Any
    module: ModuleType
    folder: Path
    aws: Ministack

    def client(self, service: str) -> Any:
        return boto3.client(service)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SAM.exists() or python_with_ministack() is None:
        pytest.fail("sam or MiniStack is not installed: run `make venvs`")
    return checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def built(repository: Path) -> Path:
    """The repository's own template, built for this Python, which is the one that MiniStack runs; the artefacts' folder."""
    template = repository / "template.yaml"
    here = f"Runtime: python{sys.version_info.major}.{sys.version_info.minor}"
    template.write_text(re.sub(r"Runtime: python3\.\d+", here, template.read_text()))
    sam(repository, "build", extra={"PYTHON": sys.executable})
    return repository / ".aws-sam" / "build"


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """MiniStack with the policies of roles enforced, and boto3 of this process on it."""
    log = tmp_path_factory.mktemp("ministack") / "ministack.log"
    with ministack(auth=True, log=log) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="session")
def examples(repository: Path, built: Path, aws: Ministack) -> Iterator[Stack]:
    """The examples' app, deployed from the repository's template as it is."""
    deploy(repository, STACK, extra=aws.environment())
    import app
    import quickstart

    app.hatchet.use(connect(Settings(stack=STACK)))
    yield Stack(name=STACK, app=app.hatchet, module=quickstart, folder=repository, aws=aws)
    app.hatchet.use(None)


@pytest.fixture(scope="session")
def trouble(repository: Path, aws: Ministack) -> Iterator[Stack]:
    """An app that gives trouble."""
    yield from _deployed(repository, aws, "trouble", TROUBLE_STACK)


@pytest.fixture(scope="session")
def eventful(repository: Path, aws: Ministack) -> Iterator[Stack]:
    """An app that events start, with the dashboard's functions."""
    yield from _deployed(repository, aws, "eventful", EVENTFUL_STACK, dashboard=True)


def _deployed(
    repository: Path, aws: Ministack, name: str, stack: str, *, dashboard: bool = False
) -> Iterator[Stack]:
    """An app of a user's own, in a folder of its own, compiled, built and deployed."""
    folder = repository / "tests" / "deployed" / name
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    template = compile_app(
        module.hatchet, app_path=f"{name}:hatchet", code_uri=".", dashboard=dashboard, ephemeral=True
    )
    (folder / "template.yaml").write_text(render(template, app_path=f"{name}:hatchet"))
    (folder / "Makefile").write_text(MAKEFILE.replace("{template}", "template.yaml"))
    (folder / "requirements.txt").write_text(
        f"headrace[ui] @ {repository.as_uri()}\n" if dashboard else f"{repository}\n"
    )
    sam(folder, "build", extra={"PYTHON": sys.executable, "PYTHONPATH": str(repository / "infra")})
    deploy(folder, stack, extra=aws.environment())
    module.hatchet.use(connect(Settings(stack=stack)))
    yield Stack(name=stack, app=module.hatchet, module=module, folder=folder, aws=aws)
    del sys.modules[name]
