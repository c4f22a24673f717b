"""Each test that takes `backend` runs on memory, on boto3 (moto, MiniStack) and on the lean transport; one
that takes `emulator` on those that hold memory to AWS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contract.backends import Backend, in_memory, lean_transport, on_ministack, on_moto
from contract.differences import known
from headrace_infra.ministack import python_with_ministack


@pytest.fixture(autouse=True)
def known_difference(request: pytest.FixtureRequest) -> None:
    """Expect the failure of a test that meets a known difference of its emulator."""
    if (row := known(request.node.name)) is not None:
        request.node.add_marker(pytest.mark.xfail(reason=str(row), strict=True))


@pytest.fixture(scope="package")
def memory() -> Backend:
    return in_memory()


@pytest.fixture(scope="package")
def moto() -> Iterator[Backend]:
    with on_moto() as backend:
        yield backend


@pytest.fixture(scope="package")
def ministack() -> Iterator[Backend]:
    _require_ministack()
    with on_ministack() as backend:
        yield backend


@pytest.fixture(scope="package")
def lean() -> Iterator[Backend]:
    """The lean transport, on a MiniStack of its own, which is served as it is for benchmarks."""
    _require_ministack()
    with on_ministack(lean_transport, quick=True) as backend:
        yield replace(backend, name="lean")


def _require_ministack() -> None:
    if python_with_ministack() is None:
        reason = "MiniStack is not installed: `make .venv-ministack/.locked` installs it"
        if os.environ.get("HEADRACE_REQUIRE_MINISTACK") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


EMULATORS = [
    pytest.param("moto"),
    pytest.param("ministack", marks=pytest.mark.ministack),
    pytest.param("lean", marks=pytest.mark.ministack),
]


@pytest.fixture(params=["memory", *EMULATORS])
def backend(request: pytest.FixtureRequest) -> Backend:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Backend)
    return found


@pytest.fixture(params=EMULATORS)
def emulator(request: pytest.FixtureRequest) -> Backend:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Backend)
    return found
