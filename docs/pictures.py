"""Make the pictures of the documentation: `make pictures`. Screenshots of the dashboard on real runs, and a terminal session as it printed.

Needs Chromium (Debian: apt-get install chromium). What is shown is what the code does at that moment: nothing is drawn by hand.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

from headrace import ConcurrencyExpression, ConcurrencyLimitStrategy, Context, EmptyModel, Hatchet
from headrace_dashboard.security import Access
from headrace_dashboard.server import server_for
from headrace_infra.testing import local

HERE = Path(__file__).parent / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SIZE = {"width": 1200, "height": 760}


def shop() -> Hatchet:
    """An app with what a page can show: a workflow, a task that fails sometimes, a limit with a line."""
    hatchet = Hatchet()
    order = hatchet.workflow(name="order")

    @order.task()
    def reserve(input: EmptyModel, ctx: Context) -> dict[str, int]:
        time.sleep(0.2)
        return {"reserved": 2}

    @order.task(parents=[reserve], retries=2)
    def charge(input: EmptyModel, ctx: Context) -> dict[str, str]:
        ctx.log("calling the payment service")
        time.sleep(0.4)
        if ctx.attempt_number < 2:
            raise ConnectionError("the payment service closed the connection")
        return {"receipt": "R-1001"}

    @order.task(parents=[reserve])
    def label(input: EmptyModel, ctx: Context) -> dict[str, str]:
        time.sleep(0.5)
        return {"label": "L-77"}

    @order.task(parents=[charge, label])
    def ship(input: EmptyModel, ctx: Context) -> dict[str, str]:
        time.sleep(0.3)
        return {"carrier": "bike"}

    @hatchet.task(name="import-catalogue")
    def import_catalogue(input: dict, ctx: Context) -> None:  # type: ignore[type-arg]
        raise ValueError(f"row {input['row']}: the price is not a number: 'n/a'")

    one_each = ConcurrencyExpression(
        expression="input.customer", max_runs=1, limit_strategy=ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN
    )

    @hatchet.task(name="export", concurrency=one_each)
    def export(input: dict, ctx: Context) -> dict[str, str]:  # type: ignore[type-arg]
        time.sleep(30)
        return {"file": f"{input['customer']}.csv"}

    hatchet.worker("main", workflows=[order, import_catalogue, export])
    return hatchet


@contextmanager
def served(hatchet: Hatchet) -> Iterator[str]:
    """The dashboard at its address; the link lets a browser in."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        access = Access()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            server = server_for(hatchet, access=access, may_act=True)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/?token={access.session}"
        server.should_exit = True
        thread.join(10)


def screenshots() -> None:
    """now.png and run.png."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("there is no Chromium here (Debian: apt-get install chromium)")
    hatchet = shop()
    with local(hatchet, backend="memory"), served(hatchet) as link, sync_playwright() as playwright:
        hatchet._publish()
        made = hatchet.runs.create("order", {}, additional_metadata={"customer": "ann"}).run.metadata.id
        for row in (17, 41, 42):
            hatchet.runs.create("import-catalogue", {"row": row})
        hatchet.runs.get_run_ref(made).result()
        for _ in range(3):
            hatchet.runs.create("export", {"customer": "bob"})
        time.sleep(1)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(link)
        base = link.partition("/?")[0]
        for name, path in {"now": "/", "run": f"/runs/{made}"}.items():
            page.goto(base + path)
            page.screenshot(path=HERE / f"{name}.png")
        browser.close()


SESSION = (
    "headrace init myapp",
    "cd myapp",
    "python app.py",
    "pytest -q",
    "headrace compile app:hatchet",
    'headrace cost app:hatchet --workflow greet --input \'{"name": "ann"}\'',
)


def session() -> None:
    """terminal.svg: the commands of SESSION and what they print, in an empty folder, with no account."""
    console = Console(record=True, width=110, file=StringIO(), force_terminal=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADRACE_"))
    }
    environment |= {
        "COLUMNS": "110",
        "FORCE_COLOR": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in SESSION:
            console.print(f"[bold green]$[/] [bold]{command}[/]", highlight=False)
            words = shlex.split(command)
            if words[0] == "cd":
                folder /= words[1]
                continue
            done = subprocess.run(
                words, cwd=folder, env=environment, capture_output=True, text=True, check=True
            )
            shown = re.sub(re.escape(str(folder)), "~", done.stdout)
            console.print(Text.from_ansi(shown.strip()))
    (HERE / "terminal.svg").write_text(
        console.export_svg(title="From nothing to a price", unique_id="headrace")
    )


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    screenshots()
    session()
