"""The dashboard in Chromium: every page in both colours and two widths, what people do there, and what an attacker may not."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from browser.conftest import Served
from browser.dashboard_app import ATTACK
from headrace.core.run.record import RunStatus
from headrace_dashboard.app import PAGES

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
DETAILS = ("/runs/{good}", "/runs/{bad}", "/runs/{flow}", "/runs/{order}", "/workflows/greet")
PATHS = (*(href for _, href in PAGES), *DETAILS)


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    found = context.new_page()
    found.set_default_timeout(10_000)
    found.goto(served.link)
    yield found
    context.close()


def address(served: Served, path: str) -> str:
    return served.address + path.format(**served.shown.ids)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_every_page_fits_and_has_no_serious_fault(
    browser: Browser, served: Served, scheme: str, width: int
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        bypass_csp=True,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(served.link)
    faults: list[str] = []
    for path in PATHS:
        answer = page.goto(address(served, path))
        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than {width}"
        if AXE.exists():
            page.add_script_tag(path=str(AXE))
            found = page.evaluate("axe.run().then(result => result.violations)")
            faults += [
                f"{path}: {each['id']}: {each['nodes'][0]['html'][:120]}"
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
    context.close()
    assert faults == []
    assert AXE.exists(), "axe-core is not installed: npm ci in tests/browser"


def test_the_keyboard_reaches_the_content(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_cancel_a_run(page: Page, served: Served) -> None:
    run_id = served.shown.start_waiting()
    page.goto(address(served, f"/runs/{run_id}"))
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 .status")).to_have_text("CANCELLED")
    assert served.shown.hatchet.runs.get_status(run_id) is RunStatus.CANCELLED


def test_a_question_that_is_declined_does_nothing(page: Page, served: Served) -> None:
    run_id = served.shown.start_waiting()
    page.goto(address(served, f"/runs/{run_id}"))
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Cancel").click()
    assert served.shown.hatchet.runs.get_status(run_id) is RunStatus.QUEUED


def test_edit_the_input_and_run(page: Page, served: Served) -> None:
    page.goto(address(served, "/runs/{bad}"))
    page.get_by_text("Edit the input and run").click()
    page.get_by_label("Input (JSON)").fill('{"name": "Zoe"}')
    page.get_by_role("button", name="Start a new run").click()
    page.wait_for_url("**/runs/*")
    expect(page.locator("h1")).to_contain_text("greet")
    new = page.url.rsplit("/", 1)[-1]
    assert new not in served.shown.ids.values()
    assert served.shown.hatchet.runs.get(new).run.input == {"name": "Zoe"}


def test_a_run_is_run_again(page: Page, served: Served) -> None:
    run_id = served.shown.start_waiting()
    served.shown.stack.drain()
    page.goto(address(served, f"/runs/{run_id}"))
    expect(page.locator("h1 .status")).to_have_text("COMPLETED")
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("h1 .status")).to_have_text("QUEUED")
    served.shown.stack.drain()
    expect(page.locator("h1 .status")).to_have_text("COMPLETED", timeout=15_000)
    assert served.shown.hatchet.runs.get(run_id).tasks[0].retry_count == 1


def test_a_durable_task_goes_on_from_an_operation(page: Page, served: Served) -> None:
    page.goto(address(served, "/runs/{order}"))
    expect(page.locator("h1 .status")).to_have_text("COMPLETED")
    questions: list[str] = []

    def answer(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.accept()

    page.on("dialog", answer)
    second = page.get_by_role("region", name="Durable log").locator("tbody tr").nth(1)
    second.get_by_role("button", name="Run again from here").click()
    expect(page.locator("h1 .status")).not_to_have_text("COMPLETED")
    assert questions == ["Keep what is before node 1, and run the rest again?"]
    served.shown.stack.drain()
    expect(page.locator("h1 .status")).to_have_text("COMPLETED", timeout=15_000)
    again = served.shown.hatchet.runs.get(served.shown.ids["order"]).durable_log
    assert [(entry.node_id, entry.branch_id) for entry in again] == [(0, 0), (1, 1)]


def test_the_page_of_a_run_follows_it_to_its_end(page: Page, served: Served) -> None:
    run_id = served.shown.start_waiting()
    page.goto(address(served, f"/runs/{run_id}"))
    expect(page.locator("h1 .status")).to_have_text("QUEUED")
    served.shown.stack.drain()
    expect(page.locator("h1 .status")).to_have_text("COMPLETED", timeout=15_000)


def test_many_are_cancelled_at_once(page: Page, served: Served) -> None:
    ids = [served.shown.start_waiting() for _ in range(3)]
    page.goto(address(served, "/runs?status=QUEUED"))
    page.on("dialog", lambda dialog: dialog.accept())
    for run_id in ids:
        page.get_by_label(f"Choose run {run_id}").check()
    page.get_by_role("button", name="Cancel chosen").click()
    page.wait_for_load_state()
    assert {served.shown.hatchet.runs.get_status(run_id) for run_id in ids} == {RunStatus.CANCELLED}


def test_it_works_without_javascript(browser: Browser, served: Served) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.link)
    run_id = served.shown.start_waiting()
    page.goto(address(served, f"/runs/{run_id}"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 .status")).to_have_text("CANCELLED")
    context.close()


# ---------------------------------------------------------------- attacks


def test_markup_of_users_is_text(page: Page, served: Served) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for path in ("/", "/runs", "/runs/{bad}"):
        page.goto(address(served, path))
        page.wait_for_load_state("networkidle")
        assert page.title() != "owned"
    assert page.locator("img").count() == 0
    assert dialogs == []
    assert ATTACK in page.inner_text("body")


def test_a_foreign_page_cannot_act(browser: Browser, served: Served) -> None:
    """A page of another origin, in the browser that holds the cookie, posts a form and fetches."""
    run_id = served.shown.start_waiting()
    target = f"{served.address}/runs/{run_id}/cancel"
    evil = f"""<form method="post" action="{target}"><input name="_token" value="guess"></form>
        <script>fetch("{target}", {{method: "POST", mode: "no-cors", credentials: "include"}}).catch(() => 0)
        .then(() => document.forms[0].submit())</script>"""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(evil.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.link)
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    page.wait_for_url(f"{target}*")
    assert "Another site" in page.inner_text("body") or "Open the link" in page.inner_text("body")
    context.close()
    server.shutdown()
    server.server_close()
    assert served.shown.hatchet.runs.get_status(run_id) is RunStatus.QUEUED


def test_a_rebound_name_sees_nothing(browser: Browser, served: Served) -> None:
    port = served.address.rsplit(":", 1)[-1]
    context = browser.new_context()
    page = context.new_page()
    answer = page.request.get(f"{served.address}/", headers={"Host": f"rebound.example:{port}"})
    assert answer.status == 421
    assert "headrace" not in answer.text().lower()
    context.close()
