"""The dashboard of a small app, without a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.dashboard_app import shown
from dashboard.looked_at import Site
from starlette.testclient import TestClient

from headrace_dashboard.app import Dashboard
from headrace_dashboard.security import Access


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with shown() as app:
        access = Access(hosts=frozenset({"testserver"}))
        dashboard = Dashboard(hatchet=app.hatchet, access=access)
        client = TestClient(dashboard.app(), follow_redirects=False)
        assert client.get(f"/?token={access.session}").status_code == 303
        yield Site(hatchet=app.hatchet, drain=app.stack.drain, access=access, client=client, **app.ids)
