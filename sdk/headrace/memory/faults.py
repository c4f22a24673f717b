"""Where a simulation may interfere: before and after each call of a port."""

from __future__ import annotations

from typing import Protocol


class Faults(Protocol):
    """Called around every port call. Raising before it: nothing happened; after it: it happened, the response is lost."""

    def before(self, port: str, call: str) -> None: ...

    def after(self, port: str, call: str) -> None: ...


class NoFaults:
    """Nothing ever goes wrong."""

    def before(self, port: str, call: str) -> None:
        pass

    def after(self, port: str, call: str) -> None:
        pass
