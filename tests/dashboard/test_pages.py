"""Every page on real runs; and what a page in the same browser, or a foreign name, is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browser.dashboard_app import ATTACK
from dashboard.looked_at import Site
from httpx import Response
from pydantic import BaseModel
from starlette.datastructures import FormData
from starlette.testclient import TestClient

from headrace import Context, DurableContext, EmptyModel, Headrace, NonRetryableException
from headrace.clients.models.events import V1WebhookHMACAuth
from headrace.core.run.record import RunStatus
from headrace.engine.runs.dead_letter import fail_dead_letter
from headrace_dashboard.app import PAGES, Dashboard
from headrace_dashboard.security import COOKIE, Access
from headrace_dashboard.views.runs import back
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local


@pytest.mark.parametrize("href", [href for _, href in PAGES])
def test_every_page_opens(site: Site, href: str) -> None:
    answer = site.client.get(href)
    assert answer.status_code == 200, answer.text
    assert "<h1>" in answer.text


def test_events_and_what_they_started(site: Site) -> None:
    pushed = site.hatchet.event.push("order:paid", {"id": ATTACK}, scope="shop")
    site.drain()
    text = site.client.get("/events?key=order:paid").text
    assert pushed.event_id in text
    assert "/runs/" in text
    assert ATTACK not in text


def test_crons_and_scheduled_runs(site: Site) -> None:
    cron = site.hatchet.cron.create("greet", "nightly", "0 3 * * *", {}, {})
    at = datetime(2050, 1, 1, tzinfo=UTC)
    planned = site.hatchet.scheduled.create("greet", at, {}, {})
    text = site.client.get("/schedules").text
    assert "0 3 * * *" in text
    assert "2050-01-01 00:00:00" in text
    token = {"_token": site.access.form_token}
    assert site.client.post("/schedules/delete", data=token).status_code == 400
    assert site.client.post("/schedules/delete", data=token | {"cron": cron.metadata.id}).status_code == 303
    assert (
        site.client.post("/schedules/delete", data=token | {"scheduled": planned.metadata.id}).status_code
        == 303
    )
    gone = site.client.get("/schedules").text
    assert "0 3 * * *" not in gone
    assert "2050-01-01" not in gone


def test_the_log_of_a_durable_task() -> None:
    hatchet = Headrace()

    @hatchet.durable_task()
    async def order(input: EmptyModel, ctx: DurableContext) -> None:
        await ctx._aio_memo(lambda: ATTACK, str)
        await ctx.aio_wait_for_event("order:paid", label=ATTACK)

    with local(hatchet, backend="memory", background=False) as stack:
        ref = order.run(wait_for_result=False)
        stack.deliver_all()
        access = Access(hosts=frozenset({"testserver"}))
        client = TestClient(Dashboard(hatchet=hatchet, access=access).app(), follow_redirects=False)
        client.get(f"/?token={access.session}")
        page = f"/runs/{ref.workflow_run_id}"
        text = client.get(page).text
        hatchet.runs.cancel(ref.workflow_run_id)
        over = client.get(page).text
        token = over.partition('name="_token" value="')[2].partition('"')[0]
        assert "{&#39;" not in over, "results are JSON, as code sees them"
        asked = {"_token": token, "task": ref.workflow_run_id, "node": "1", "branch": "0"}
        assert client.post(f"{page}/reset", data={**asked, "node": "9"}).status_code == 400
        assert client.post(f"{page}/reset", data={**asked, "node": "x"}).status_code == 400
        assert client.post(f"{page}/reset", data=asked).headers["location"] == page
        stack.deliver_all()
        assert stack.suspended_at(ref) == (1,)
    table = text.partition("Durable log of order")[2].partition("</table>")[0]
    assert [part in table for part in ("MEMO", "SATISFIED", "WAIT_FOR", "OPEN", "event order:paid")] == [
        True
    ] * 5
    assert "/reset" not in text, "a run that goes on cannot be reset: no button that fails"
    assert over.count(f"{page}/reset") == 2
    assert ATTACK not in text


def test_now_groups_failures_by_fault(site: Site) -> None:
    text = site.client.get("/").text
    assert "RuntimeError" in text
    assert f"/runs/{site.bad}" in text
    assert "dashboard_app.py:" in text  # the user's line


def test_the_list_by_status_and_by_metadata(site: Site) -> None:
    assert site.bad in site.client.get("/runs?status=FAILED").text
    assert site.good not in site.client.get("/runs?status=FAILED").text
    assert site.good in site.client.get("/runs?metadata=customer%3Dann").text
    assert site.flow not in site.client.get("/runs?metadata=customer%3Dann").text


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("status=BAD", "status must be one of"),
        ("hours=soon", "hours must be a number"),
        ("hours=-1", "hours must be over 0"),
        ("metadata=who", "metadata must be key=value"),
    ],
)
def test_a_filter_that_cannot_be_read_says_which(site: Site, query: str, says: str) -> None:
    answer = site.client.get(f"/runs?{query}")
    assert answer.status_code == 400
    assert says in answer.text


def test_a_run_shows_why_it_failed_its_input_and_its_log(site: Site) -> None:
    text = site.client.get(f"/runs/{site.bad}").text
    assert "RuntimeError" in text
    assert "Traceback" in text
    assert "hello" in text


def test_a_workflow_s_run_has_a_graph_and_a_waterfall(site: Site) -> None:
    text = site.client.get(f"/runs/{site.flow}").text
    assert "Graph of 4 tasks" in text
    assert text.count('class="bar"') == 4


def test_nothing_of_the_user_s_is_markup(site: Site) -> None:
    for path in ("/", "/runs", f"/runs/{site.bad}", "/workflows/greet"):
        text = site.client.get(path).text
        assert ATTACK not in text
        assert "<script>document" not in text


def test_an_unknown_run_is_404(site: Site) -> None:
    answer = site.client.get("/runs/nothing")
    assert answer.status_code == 404
    assert "not found" in answer.text


def test_start_a_run_and_cancel_it(site: Site) -> None:
    form = {"_token": site.access.form_token, "input": '{"name": "Bob"}', "metadata": "{}"}
    answer = site.client.post("/workflows/greet/run", data=form)
    assert answer.status_code == 303
    run_id = answer.headers["location"].rsplit("/", 1)[-1]
    assert site.hatchet.runs.get(run_id).run.input == {"name": "Bob"}
    again = site.client.post(f"/runs/{run_id}/cancel", data={"_token": site.access.form_token})
    assert again.headers["location"] == f"/runs/{run_id}"
    assert site.hatchet.runs.get_status(run_id) is RunStatus.CANCELLED


@pytest.mark.parametrize("text", ["{", "[1]", '"text"'])
def test_an_input_that_is_no_object_starts_nothing(site: Site, text: str) -> None:
    form = {"_token": site.access.form_token, "input": text}
    answer = site.client.post("/workflows/greet/run", data=form)
    assert answer.status_code == 400
    assert "the input" in answer.text


def test_a_worker_is_paused_and_goes_on(site: Site) -> None:
    form = {"_token": site.access.form_token}
    assert 'href="/workflows/flow"' in site.client.get("/workers").text
    assert site.client.post("/workers/main/pause", data=form).status_code == 303
    assert "/workers/main/unpause" in site.client.get("/workers").text
    assert site.client.post("/workers/main/unpause", data=form).status_code == 303
    assert "/workers/main/pause" in site.client.get("/workers").text
    assert site.client.post("/workers/nope/pause", data=form).status_code in (400, 404)


def test_pause_and_unpause(site: Site) -> None:
    form = {"_token": site.access.form_token}
    assert site.client.post("/workflows/flow/pause", data=form).status_code == 303
    assert "PAUSED" in site.client.get("/workflows/flow").text
    assert site.client.post("/workflows/flow/unpause", data=form).status_code == 303
    assert "PAUSED" not in site.client.get("/workflows/flow").text


# ---------------------------------------------------------------- what is refused


def test_no_cookie_no_page(site: Site) -> None:
    stranger = TestClient(site.client.app, follow_redirects=False)
    assert stranger.get("/").status_code == 403
    assert stranger.get("/?token=guess").status_code == 403


def test_a_foreign_name_for_this_machine_is_refused(site: Site) -> None:
    answer = site.client.get("/", headers={"host": "rebound.example"})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["testserver:8123", "testserver"])
def test_its_own_name_with_and_without_a_port(site: Site, host: str) -> None:
    assert site.client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        pytest.param({}, {}, id="no token"),
        pytest.param({"_token": "guess"}, {}, id="another token"),
        pytest.param({"_token": "right"}, {"origin": "https://evil.example"}, id="another site"),
        pytest.param({"_token": "right"}, {"origin": "null"}, id="no site"),
        pytest.param({"_token": "right"}, {"content-type": "text/plain"}, id="not a form"),
    ],
)
def test_another_page_cannot_act(site: Site, form: dict[str, str], headers: dict[str, str]) -> None:
    given = {name: site.access.form_token if value == "right" else value for name, value in form.items()}
    answer = site.client.post(f"/runs/{site.good}/cancel", data=given, headers=headers)
    assert answer.status_code == 403


def test_a_dashboard_that_only_looks(site: Site) -> None:
    looking = TestClient(Dashboard(hatchet=site.hatchet, access=site.access, may_act=False).app())
    looking.cookies.set(COOKIE, site.access.session or "")
    page = looking.get(f"/runs/{site.bad}")
    assert "<button" not in page.text
    form = {"_token": site.access.form_token}
    assert looking.post(f"/runs/{site.good}/cancel", data=form).status_code == 403


def test_every_answer_forbids_foreign_content(site: Site) -> None:
    for path in ("/", "/static/style.css", "/nowhere", "/runs/nothing"):
        headers = site.client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", ""])
def test_back_never_leaves_this_server(path: str) -> None:
    assert back(FormData({"back": path})) == "/runs"


def test_two_servers_have_other_tokens() -> None:
    one, other = Access(), Access()
    assert one.session != other.session
    assert one.form_token != other.form_token


class Order(BaseModel):
    id: str
    count: int = 3
    gift: bool = False
    lines: list[str]


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[TestClient, Access]]:
    """A dashboard of a workflow whose input is a model."""
    hatchet = Headrace()

    @hatchet.task(name="buy", input_validator=Order)
    def buy(input: Order, ctx: Context) -> None: ...

    with local(hatchet, backend="memory", background=False):
        access = Access()
        client = TestClient(Dashboard(hatchet=hatchet, access=access).app(), base_url="http://127.0.0.1")
        client.cookies.set(COOKIE, access.session or "")
        yield client, access


def test_a_form_is_made_from_the_schema_and_starts_a_run(shop: tuple[TestClient, Access]) -> None:
    client, access = shop
    page = client.get("/workflows/buy").text
    assert '<input name="field:count" value="3" inputmode="decimal">' in page
    assert '<span>Id <span aria-hidden="true">*</span></span>' in page, "the mark stands beside the name"
    fields = {"field:id": "A1", "field:count": "4", "field:gift": "true", "field:lines": '["x"]'}
    made = client.post(
        "/workflows/buy/run",
        data={"_token": access.form_token, "by": "fields", **fields},
        follow_redirects=True,
    )
    assert made.status_code == 200
    assert all(text in made.text for text in ("A1", "&#34;count&#34;: 4", "&#34;gift&#34;: true"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("count", "four", "count is &#39;four&#39;: give a whole number"),
        ("lines", "", "lines is required"),
        ("lines", "[", "give JSON"),
        (
            "lines",
            "[1]",
            "workflow buy does not take this input: lines.0: Input should be a valid string (it is 1)",
        ),
    ],
)
def test_a_field_of_another_kind_starts_nothing(
    shop: tuple[TestClient, Access], name: str, text: str, says: str
) -> None:
    client, access = shop
    given = {"field:id": "A1", "field:count": "4", "field:lines": "[]", f"field:{name}": text}
    answer = client.post("/workflows/buy/run", data={"_token": access.form_token, "by": "fields", **given})
    assert answer.status_code == 400
    assert says in answer.text


def test_an_input_as_json_is_held_against_the_model(shop: tuple[TestClient, Access]) -> None:
    client, access = shop
    answer = client.post("/workflows/buy/run", data={"_token": access.form_token, "input": '{"id": "A1"}'})
    assert answer.status_code == 400
    assert "workflow buy does not take this input: lines: Field required. Nothing was started." in answer.text


def test_all_that_match_are_run_again_or_cancelled_and_the_page_says_how_far_it_is() -> None:
    hatchet, good = Headrace(), set[str]()

    @hatchet.task(name="charge")
    def charge(input: EmptyModel, ctx: Context) -> None:
        if ctx.workflow_run_id not in good:
            raise RuntimeError("no")

    @hatchet.task(name="later")
    def later(input: EmptyModel, ctx: Context) -> None: ...

    hatchet.worker("w", workflows=[charge, later])
    with local(hatchet, backend="memory", background=False) as stack:
        access = Access(session=None, hosts=frozenset())
        client = TestClient(Dashboard(hatchet=hatchet, access=access).app(), follow_redirects=False)
        failed = [hatchet.runs.create("charge", {}).run.metadata.id for _ in range(12)]
        stack.drain()
        good.update(failed)
        hatchet.workflows.pause("later", timedelta(hours=1))
        open_ones = [hatchet.runs.create("later", {}).run.metadata.id for _ in range(2)]
        page = client.get("/runs?status=FAILED&workflow=charge&hours=2").text
        form = page.partition('name="all" value="1"')[2].partition("</form>")[0]
        asked = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
        assert asked == {"status": "FAILED", "workflow": "charge", "hours": "2"}
        token = {"_token": access.form_token, "all": "1", "back": "/runs?workflow=charge"}
        again = client.post("/runs/replay", data=token | asked).headers["location"]
        client.post("/runs/cancel", data=token | {"workflow": "later"})
        stack.deliver_all()
        said = client.get(again).text
        assert "12 runs of 12 looked at, 12 started again. Done." in said
        assert {hatchet.runs.get_status(run_id).value for run_id in failed} == {"COMPLETED"}
        assert {hatchet.runs.get_status(run_id).value for run_id in open_ones} == {"CANCELLED"}
        assert client.post("/runs/replay", data=token | {"hours": "x"}).status_code == 400
        assert 'name="all"' not in client.get(f"/runs?parent={failed[0]}").text


def test_a_workflow_is_drawn_without_a_run(site: Site) -> None:
    text = site.client.get("/workflows/flow").text
    assert "<title>store</title>" in text
    assert "Graph of 4 tasks" in text


@dataclass(frozen=True, kw_only=True)
class Night:
    """A dashboard, and the stack that it shows."""

    client: TestClient
    access: Access
    hatchet: Headrace
    drain: Callable[[], None]

    def post(self, path: str, **form: str) -> Response:
        return self.client.post(path, data={"_token": self.access.form_token, **form})


@pytest.fixture
def night() -> Iterator[Night]:
    """After a bad night: a run was given up, and another streamed."""
    hatchet = Headrace()

    @hatchet.task(name="charge")
    def charge(input: EmptyModel, ctx: Context) -> None:
        ctx.put_stream("one ")
        ctx.put_stream("<b>two</b>")

    hatchet.worker("w", workflows=[charge])
    with local(hatchet, backend="memory", background=False) as stack:
        hatchet.runs.create("charge", {})
        [received] = hatchet.engine.queues.receive("w", limit=1, wait_s=0)
        fail_dead_letter(hatchet.engine, received, reason="its worker kept dying")
        hatchet.engine.queues.delete(received)
        access = Access(session=None, hosts=frozenset())
        client = TestClient(Dashboard(hatchet=hatchet, access=access).app(), follow_redirects=False)
        yield Night(client=client, access=access, hatchet=hatchet, drain=stack.drain)


def test_a_stream_is_shown_as_text(night: Night) -> None:
    run_id = night.hatchet.runs.create("charge", {}).run.metadata.id
    night.drain()
    assert "one &lt;b&gt;two&lt;/b&gt;" in night.client.get(f"/runs/{run_id}").text


def test_a_dead_letter_is_run_again(night: Night) -> None:
    [letter] = night.hatchet.dead_letters.list()
    page = night.client.get("/").text
    assert "its worker kept dying" in page
    assert letter.id in page
    again = night.post("/dead-letters/redrive", id=letter.id)
    assert again.status_code == 303
    night.drain()
    assert "COMPLETED" in night.client.get(again.headers["location"]).text
    assert "Dead letters" not in night.client.get("/").text


def test_a_dead_letter_is_forgotten_once(night: Night) -> None:
    [letter] = night.hatchet.dead_letters.list()
    assert night.post("/dead-letters/forget", id=letter.id).status_code == 303
    gone = night.post("/dead-letters/forget", id=letter.id)
    assert (gone.status_code, "was redriven or forgotten meanwhile" in gone.text) == (404, True)


def cell_links(text: str, run_id: str) -> list[str]:
    """What the links to a run say."""
    found = re.findall(rf'<a[^>]*href="/runs/{run_id}"[^>]*>(.*?)</a>', text)
    return [re.sub(r"<[^>]+>", "", each).strip() for each in found]


@contextmanager
def looking_at(hatchet: Headrace) -> Iterator[tuple[TestClient, LocalStack]]:
    """The pages of an app of the test's own, on a stack whose time nothing else moves."""
    with local(hatchet, backend="memory", background=False) as stack:
        hatchet._publish()
        access = Access(session=None, hosts=frozenset())
        yield TestClient(Dashboard(hatchet=hatchet, access=access).app()), stack


def greeter() -> Headrace:
    hatchet = Headrace()

    @hatchet.task(name="greet", on_events=["order:*"])
    def greet(input: dict[str, Any], ctx: Context) -> None:
        if input.get("fail"):
            raise NonRetryableException("no")

    return hatchet


def test_an_event_names_the_workflows_that_it_started_and_not_what_headrace_notes_of_it() -> None:
    hatchet = greeter()
    with looking_at(hatchet) as (client, stack):
        pushed = hatchet.event.push("order:named", {"id": 1}, additional_metadata={"from": "shop"})
        hatchet.event.push("nothing:starts", {})
        stack.deliver_all()
        [started] = hatchet.event.get(pushed.event_id).triggered_runs
        text = client.get("/events?key=order:named").text
        assert cell_links(text, started.workflow_run_id) == [f"greet {started.workflow_run_id[:8]}"]
        assert '<span class="status completed">COMPLETED</span>' in text
        assert "none" in client.get("/events?key=nothing:starts").text
        runs = client.get("/runs").text
        assert "from=shop" in runs
        assert "hatchet__" not in runs


def test_a_run_that_has_not_started_is_no_link() -> None:
    hatchet = greeter()
    with looking_at(hatchet) as (client, _):
        planned = hatchet.scheduled.create("greet", datetime(2050, 1, 1, tzinfo=UTC), {}, {})
        text = client.get("/schedules").text
        assert "not started" in text
        assert cell_links(text, planned.workflow_run_id or "") == []


def test_an_output_that_is_not_there_is_said() -> None:
    hatchet = greeter()
    with looking_at(hatchet) as (client, stack):
        made = {fail: hatchet.runs.create("greet", {"fail": fail}).run.metadata.id for fail in (True, False)}
        assert "Not there yet." in client.get(f"/runs/{made[True]}").text
        stack.deliver_all()
        assert "None: the run failed." in client.get(f"/runs/{made[True]}").text
        assert "Not there yet." not in client.get(f"/runs/{made[False]}").text


def test_a_webhook_shows_where_its_requests_go(site: Site) -> None:
    how = V1WebhookHMACAuth(signing_secret="ssm:/github")
    made = site.hatchet.webhooks.create("github", "repo", "'github'", how, scope_expression="input.owner")
    text = site.client.get("/webhooks").text
    assert made.path
    assert f"<code>{made.path}</code>" in text
    assert "<code>input.owner</code>" in text
    site.hatchet.webhooks.delete("repo")


def test_a_child_run_is_named_in_a_durable_log_and_other_days_have_their_date() -> None:
    hatchet = Headrace()

    @hatchet.task(name="small")
    def small(input: EmptyModel, ctx: Context) -> None: ...

    @hatchet.durable_task(name="large")
    async def large(input: EmptyModel, ctx: DurableContext) -> None:
        await small.aio_run()
        await ctx.aio_sleep_for(timedelta(days=3))

    with looking_at(hatchet) as (client, stack):
        began = datetime.fromtimestamp(hatchet.engine.clock.now_ms() / 1000, UTC)
        run_id = large.run(wait_for_result=False).workflow_run_id
        alone = small.run(wait_for_result=False).workflow_run_id
        stack.drain()
        text = client.get(f"/runs/{run_id}").text
        [log] = [task.durable_log for task in hatchet.runs.get(run_id).tasks if task.durable_log]
        child = log[0].child_run_id
        assert child is not None
        assert cell_links(text, child) == [f"small {child[:8]}"]
        assert f"<td>{began + timedelta(days=3):%Y-%m-%d} " in text
        assert f"/runs?parent={run_id}" in text
        assert "children" not in client.get(f"/runs/{alone}").text
