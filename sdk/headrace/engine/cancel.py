"""Cancel runs."""

from __future__ import annotations

from headrace.engine.engine import Engine


def cancel(engine: Engine, run_id: str, *, reason: str = "CANCELLED_BY_USER") -> bool:
    """Whatever of the run is not settled is CANCELLED from here on. False: there is no such run, or it was over."""
    raise NotImplementedError
