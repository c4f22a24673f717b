"""What a command works on: the app or stack that was named, and values given on the command line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import NotConfigured

if TYPE_CHECKING:
    from headrace.app import Headrace

LONGEST_INPUT_BYTES = 16 * 1024 * 1024


def app_named(path: str) -> Headrace:
    """The app at module:attribute, looked for in the current folder first."""
    from headrace_infra.loading import load_app

    return load_app(path)


def app_or_stack(path: str | None, stack: str | None) -> Headrace:
    """The app that was named, by `--app` or HEADRACE_APP; else an empty one, which knows the stack's workflows by name."""
    from headrace.app import Headrace

    if stack:
        os.environ["HEADRACE_STACK"] = (
            stack  # a stack that is named is meant, and not the one that `headrace dev` runs
        )
    bare = Headrace()
    path = path or bare.settings.app
    app = app_named(path) if path else bare
    if stack:
        app.settings.stack = stack
    return app


def parsed_object(text: str, what: str) -> dict[str, object]:
    """A JSON object given on the command line: as text, as @file, or as `-` for stdin. NotConfigured, which shows the place,
    where it is none."""
    try:
        value = json.loads(_read(text, what))
    except ValueError as error:
        raise NotConfigured(
            f"{what} is not JSON: {error}; quote it for the shell, such as '{{\"n\": 1}}', or give {what} @file.json"
        ) from error
    if not isinstance(value, dict):
        raise NotConfigured(f"{what} must be a JSON object, not a {type(value).__name__}")
    return value


def _read(text: str, what: str) -> str:
    if text == "-":
        return sys.stdin.read(LONGEST_INPUT_BYTES)
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(f"{what} {text}: {error}") from error
