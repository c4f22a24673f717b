"""Which version of Headrace a stack runs: its clock says it, clients compare."""

from __future__ import annotations

from headrace.core.changes import Put
from headrace.core.table import DEPLOYED
from headrace.engine.engine import Engine


def publish_version(engine: Engine, version: str) -> None:
    """Store the version, where it has changed: one read."""
    if deployed_version(engine) != version:
        engine.store.write(Put(key=DEPLOYED, item={"headrace": version}))


def deployed_version(engine: Engine) -> str | None:
    """The version of the code that published last; None where none has said it."""
    item = engine.store.get(DEPLOYED, consistent=False)
    return None if item is None else str(item["headrace"])


def fit_together(client: str, stack: str) -> bool:
    """Whether a client of one version may start runs of a stack of the other: by major and minor number, as records may change with either."""
    return client.split(".")[:2] == stack.split(".")[:2]
