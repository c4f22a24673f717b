"""The dashboard as an ASGI app: routes, and what every page is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from headrace.app import Headrace
from headrace.errors import AccessDenied, HeadraceError, RunNotFound
from headrace_dashboard import formats
from headrace_dashboard.security import Access, Guard
from headrace_dashboard.views import gates, now, run, runs, triggers, workers, workflows

HERE = Path(__file__).parent

PAGES = (
    ("Now", "/"),
    ("Runs", "/runs"),
    ("Workflows", "/workflows"),
    ("Gates and limits", "/gates"),
    ("Events", "/events"),
    ("Crons and schedules", "/schedules"),
    ("Webhooks", "/webhooks"),
    ("Workers", "/workers"),
    ("Cost", "/cost"),
)

View = Callable[[Headrace, Mapping[str, str]], Mapping[str, Any]]
"""The values of a page, from the app and the request's query and path: no HTML, no request."""

Act = Callable[[Headrace, Mapping[str, str], FormData], str]
"""Does what a form asks for; gives the path to go on to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """What the pages are made from. `may_act`: False shows no buttons and refuses every POST."""

    hatchet: Headrace
    access: Access
    may_act: bool = True

    def app(self) -> Starlette:
        """The ASGI app."""
        env = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        env.filters.update(formats.FILTERS)
        pages = _Pages(self, env)
        routes = [
            Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
            Route("/", pages.show("now.html", now.view)),
            Route("/dead-letters/redrive", pages.act(now.redrive), methods=["POST"]),
            Route("/dead-letters/forget", pages.act(now.forget), methods=["POST"]),
            Route("/runs", pages.show("runs.html", runs.view)),
            Route("/runs/cancel", pages.act(runs.cancel_all), methods=["POST"]),
            Route("/runs/replay", pages.act(runs.replay_all), methods=["POST"]),
            Route("/runs/{run_id}", pages.show("run.html", run.view)),
            Route("/runs/{run_id}/cancel", pages.act(run.cancel), methods=["POST"]),
            Route("/runs/{run_id}/replay", pages.act(run.replay), methods=["POST"]),
            Route("/runs/{run_id}/reset", pages.act(run.reset), methods=["POST"]),
            Route("/workflows", pages.show("workflows.html", workflows.view)),
            Route("/workflows/{name}", pages.show("workflow.html", workflows.one)),
            Route("/workflows/{name}/run", pages.act(workflows.start), methods=["POST"]),
            Route("/workflows/{name}/pause", pages.act(workflows.pause), methods=["POST"]),
            Route("/workflows/{name}/unpause", pages.act(workflows.unpause), methods=["POST"]),
            Route("/gates", pages.show("gates.html", gates.view)),
            Route("/events", pages.show("events.html", triggers.events)),
            Route("/schedules", pages.show("schedules.html", triggers.schedules)),
            Route("/schedules/delete", pages.act(triggers.delete), methods=["POST"]),
            Route("/webhooks", pages.show("webhooks.html", triggers.webhooks)),
            Route("/workers", pages.show("workers.html", workers.view)),
            Route("/workers/{name}/pause", pages.act(workers.pause), methods=["POST"]),
            Route("/workers/{name}/unpause", pages.act(workers.unpause), methods=["POST"]),
            Route("/cost", pages.show("cost.html", workers.cost)),
        ]
        app = Starlette(
            routes=routes, exception_handlers={HTTPException: pages.refused, Exception: pages.broken}
        )
        app.add_middleware(Guard, access=self.access, may_act=self.may_act)
        return app


class _Pages:
    """Endpoints from views and acts. Views block on AWS, so they run on threads."""

    def __init__(self, dashboard: Dashboard, env: Environment) -> None:
        self._dashboard = dashboard
        self._env = env

    def show(self, template: str, view: View) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            asked = {**request.query_params, **request.path_params}
            try:
                values = await run_in_threadpool(view, self._dashboard.hatchet, asked)
            except (HeadraceError, ValueError) as error:
                return await self._failed(request, error)
            return self._page(template, request, values)

        return endpoint

    def act(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            form = await request.form()
            try:
                path = await run_in_threadpool(act, self._dashboard.hatchet, request.path_params, form)
            except (HeadraceError, ValueError) as error:
                return await self._failed(request, error)
            return RedirectResponse(path, status_code=303)

        return endpoint

    def _page(
        self, template: str, request: Request, values: Mapping[str, Any], status: int = 200
    ) -> HTMLResponse:
        base = {
            "pages": PAGES,
            "path": request.url.path,
            "stack": self._dashboard.hatchet.settings.stack,
            "token": request.scope.get("state", {}).get("form_token", ""),
            "may_act": self._dashboard.may_act,
            "query": dict(request.query_params),
        }
        return HTMLResponse(self._env.get_template(template).render(base | dict(values)), status_code=status)

    async def _failed(self, request: Request, error: Exception) -> Response:
        status = (
            403
            if isinstance(error, AccessDenied)
            else 404
            if isinstance(error, RunNotFound) or "not found" in str(error)
            else 400
        )
        return self._page(
            "error.html", request, {"title": str(status), "status": status, "message": str(error)}, status
        )

    async def refused(self, request: Request, error: Exception) -> Response:
        """An HTTP error of the framework: an unknown page, another method."""
        assert isinstance(error, HTTPException)
        values = {"title": str(error.status_code), "status": error.status_code, "message": error.detail}
        return self._page("error.html", request, values, error.status_code)

    async def broken(self, request: Request, error: Exception) -> Response:
        """A fault of the dashboard itself: said without its inside; the server logs the traceback."""
        message = f"the dashboard failed: {type(error).__name__}. The traceback is in its log."
        return self._page("error.html", request, {"title": "500", "status": 500, "message": message}, 500)
