"""What the tests of the pages look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.testclient import TestClient

from headrace import Hatchet
from headrace_dashboard.security import Access


@dataclass(frozen=True, kw_only=True)
class Site:
    """A dashboard and the runs it shows."""

    hatchet: Hatchet
    drain: Callable[[], None]
    access: Access
    client: TestClient
    good: str
    bad: str
    flow: str
    order: str
