"""`headrace ui`: the dashboard on this machine."""

from __future__ import annotations

import importlib
from typing import Any

from headrace.app import Headrace
from headrace.errors import NotConfigured
from headrace_infra.cli.console import errors


def show_pages(app: Headrace, *, port: int, may_act: bool) -> None:
    """Serve the pages on loopback until Ctrl-C. NotConfigured where the extra `ui` is missing or the port is taken."""
    server = _server()

    def ready(link: str) -> None:
        errors.print(f"stack [bold]{app.settings.stack}[/]: [link={link}]{link}[/link]", soft_wrap=True)
        errors.print("The link lets one browser in. Ctrl-C ends it.", style="dim")

    server.serve(app, port=port, may_act=may_act, ready=ready)


def _server() -> Any:
    """The dashboard stands above this package, so it is looked up when it is asked for."""
    try:
        return importlib.import_module("headrace_dashboard.server")
    except ImportError as error:
        raise NotConfigured(
            f"the pages need their extra ({error.name}): pip install 'headrace[ui]'"
        ) from error
