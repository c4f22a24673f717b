"""How the clock and what it sends start runs: through the app's one door, which is handed to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from headrace.core.run.request import StartRun

Start: TypeAlias = Callable[[Sequence[StartRun]], list[str]]
"""Starts each run; ids in the order given. Raises as `triggers.start.start` does."""
