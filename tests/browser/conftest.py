"""A served dashboard and a real browser. Skipped, loudly, where there is no Chromium."""

from __future__ import annotations

import shutil
import socket
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from browser.dashboard_app import Shown, shown
from headrace_dashboard.security import Access
from headrace_dashboard.server import server_for

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is a browser test."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("NO BROWSER TEST RAN: there is no Chromium here (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield found
        found.close()


@dataclass(frozen=True, kw_only=True)
class Served:
    """The dashboard under its address, with what it shows."""

    shown: Shown
    address: str
    access: Access

    @property
    def link(self) -> str:
        """The link that lets a browser in."""
        return f"{self.address}/?token={self.access.session}"


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    with shown() as app, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        access = Access()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            server = server_for(app.hatchet, access=access, may_act=True)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield Served(shown=app, address=f"http://127.0.0.1:{listening.getsockname()[1]}", access=access)
        server.should_exit = True
        thread.join(10)
