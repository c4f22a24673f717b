"""The requirement that installs this very Headrace: the version, or the wheel, folder or commit that it was installed from."""

from __future__ import annotations

import json
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import headrace

NAME = "headrace"


def requirement() -> str:
    """A line of a requirements.txt."""
    try:
        installed = distribution(NAME)
    except PackageNotFoundError:
        return f"{NAME} @ {_source_tree().as_uri()}"
    return requirement_of(installed)


def requirement_of(installed: Distribution) -> str:
    """By what pip noted of where it came from (PEP 610); nothing is noted of what came from an index."""
    noted = installed.read_text("direct_url.json")
    if noted is None:
        return f"{NAME}>={installed.version}"
    origin: dict[str, Any] = json.loads(noted)
    url, vcs = origin["url"], origin.get("vcs_info")
    return f"{NAME} @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f"{NAME} @ {url}"


def _source_tree() -> Path:
    """The checkout that Headrace is imported from, where it is not installed."""
    return Path(headrace.__file__).resolve().parents[2]
