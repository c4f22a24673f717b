"""Fixtures for tests of apps: `headrace_local`, and `headrace_chaos` for the simulation.

# pytest.ini, or [tool.pytest.ini_options] in pyproject.toml
headrace_app = "app:hatchet"

def test_greet(headrace_local):
    assert greet.run(Greeting(name="you")).text == "Hello, you!"

def test_nothing_is_charged_twice(headrace_chaos):
    headrace_chaos.survives(checkout, Order(id="1"), once=["payments:book"])

`pytest --stack NAME` runs the tests of `headrace_local` on a deployed stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace_infra.local.deployed import DeployedStack
    from headrace_infra.local.stack import LocalStack
    from headrace_infra.testing import Backend
    from headrace_infra.testing.simulated.seeds import Summary
    from headrace_infra.testing.simulated.world import World

APP = "headrace_app"
BACKEND = "headrace_backend"
OPTION = "--stack"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        APP, "the app under test, as module:attribute, for the fixtures headrace_local and headrace_chaos"
    )
    parser.addini(BACKEND, "where headrace_local runs it: memory, moto or ministack", default="memory")
    group = parser.getgroup("headrace")
    group.addoption(
        OPTION,
        metavar="NAME",
        dest="headrace_stack",
        help="run headrace_local's tests on this deployed stack, with your AWS credentials",
    )


@pytest.fixture
def headrace_local(request: pytest.FixtureRequest) -> Iterator[LocalStack | DeployedStack]:
    """The app that the ini option `headrace_app` names, in memory for the length of a test (ini option `headrace_backend`: "moto" for
    tasks that call AWS themselves), or, with `--stack NAME`, on that deployed stack.

    Runs are delivered in the background: `task.run()` just returns. `headrace_local.drain()` delivers what is left, moving time to
    delayed retries and timers; see `headrace_infra.testing.local`. A test that moves time itself is skipped on a deployed stack.
    """
    app = _app_under_test(request, "headrace_local")
    stack = request.config.getoption("headrace_stack")
    if stack:
        from headrace_infra.local.deployed import on_deployed

        with on_deployed(app, str(stack)) as deployed:
            yield deployed
        return
    from headrace_infra.testing import local

    backend = cast("Backend", str(request.config.getini(BACKEND)))
    with local(app, backend=backend) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Chaos:
    """The app under test in simulated worlds: `headrace_infra.testing.chaos` and `survives`, without the app to be given."""

    app: Headrace

    def world(self, seed: int = 0, **options: Any) -> AbstractContextManager[World]:
        """One world, as `chaos(app, seed=seed, …)`."""
        from headrace_infra.testing import chaos

        return chaos(self.app, seed=seed, **options)

    def survives(self, workflow: Any, input: Any = None, **options: Any) -> Summary:
        """Many seeds, as `survives(app, workflow, input, …)`."""
        from headrace_infra.testing import survives

        return survives(self.app, workflow, input, **options)


@pytest.fixture
def headrace_chaos(request: pytest.FixtureRequest) -> Chaos:
    """The app that the ini option `headrace_app` names, to be run in simulation: crashes, duplicates, lost responses. See docs/chaos.md."""
    return Chaos(_app_under_test(request, "headrace_chaos"))


def _app_under_test(request: pytest.FixtureRequest, fixture: str) -> Headrace:
    path = request.config.getini(APP)
    if not path:
        raise pytest.UsageError(
            f"the fixture {fixture} needs the ini option {APP}, such as {APP} = app:hatchet"
        )
    from headrace_infra.loading import load_app

    return load_app(str(path), request.config.rootpath)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test that cannot run on a deployed stack is skipped there, with the reason."""
    try:
        return (yield)
    except Exception as error:
        from headrace.errors import NotSupportedError

        if isinstance(error, NotSupportedError) and item.config.getoption("headrace_stack"):
            pytest.skip(str(error))
        raise
