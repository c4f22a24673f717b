"""The app that a command works on: named as module:attribute, or none, with the stack alone."""

from __future__ import annotations

import sys
from pathlib import Path

from headrace.app import Headrace
from headrace.errors import NotConfigured
from headrace_handlers.boot import load_app


def app_named(path: str) -> Headrace:
    """The app at module:attribute, looked for in the current folder too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return load_app(path)


def app_or_stack(path: str | None, stack: str | None) -> Headrace:
    """The app that was named, by `--app` or HEADRACE_APP; else an empty one, which knows the stack's workflows by name."""
    bare = Headrace()
    path = path or bare.settings.app
    app = app_named(path) if path else bare
    if stack:
        app.settings.stack = stack
    return app


def parsed_object(text: str, what: str) -> dict[str, object]:
    """A JSON object given on the command line. NotConfigured, which shows the place, where it is none."""
    import json

    try:
        value = json.loads(text)
    except ValueError as error:
        raise NotConfigured(
            f"{what} is no JSON: {error}; quote it for the shell, such as '{{\"n\": 1}}'"
        ) from error
    if not isinstance(value, dict):
        raise NotConfigured(f"{what} must be a JSON object, not a {type(value).__name__}")
    return value
