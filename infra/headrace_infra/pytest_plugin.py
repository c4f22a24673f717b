"""A fixture for tests of apps: `headrace_local`.

# pytest.ini, or [tool.pytest.ini_options] in pyproject.toml
headrace_app = "app:hatchet"

def test_greet(headrace_local):
    assert greet.run(Greeting(name="you")).text == "Hello, you!"
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from headrace_infra.local.stack import LocalStack

INI = "headrace_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(INI, "the app under test, as module:attribute, for the fixture headrace_local")


@pytest.fixture
def headrace_local(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """The app that the ini option `headrace_app` names, on an emulated AWS for the length of a test.

    Runs are delivered in the background: `task.run()` just returns. `headrace_local.drain()` delivers what is left, moving time to
    delayed retries and timers; see `headrace_infra.testing.local`.
    """
    path = request.config.getini(INI)
    if not path:
        raise pytest.UsageError(
            f"the fixture headrace_local needs the ini option {INI}, such as {INI} = app:hatchet"
        )
    from headrace_infra.loading import load_app
    from headrace_infra.testing import local

    with local(load_app(str(path))) as stack:
        yield stack
