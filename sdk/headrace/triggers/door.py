"""The door of an app, for what starts runs on a worker or on the clock. It is opened when the first run is started: a cold start does
not pay for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.core.run.request import StartRun
    from headrace.engine.attempts.starts import Start
    from headrace.triggers.definition import Door


def door_of(app: Door) -> Start:
    """`triggers.start.start` for this app."""

    def through(wanted: Sequence[StartRun]) -> list[str]:
        from headrace.triggers.start import start

        return start(app, wanted)

    return through
