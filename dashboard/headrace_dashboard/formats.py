"""How times, spans, sizes and JSON are written on a page."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from headrace.app import Headrace
from headrace.core.sealed import readable, readable_text

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def now_of(hatchet: Headrace) -> datetime:
    """The time as the stack's clock has it: a local stack's can be moved."""
    return datetime.fromtimestamp(hatchet.engine.clock.now_ms() / 1000, UTC)


def when(at: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def clock(at: datetime | None) -> str:
    """A time of the day in UTC, to the millisecond."""
    return "" if at is None else at.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def moment(at: datetime | None, since: datetime | None) -> str:
    """As `clock`; with the date where that is another day (UTC) than `since`: a run that waits may take weeks."""
    if at is None or since is None or at.astimezone(UTC).date() == since.astimezone(UTC).date():
        return clock(at)
    return f"{at.astimezone(UTC):%Y-%m-%d} {clock(at)}"


def took(milliseconds: float | None) -> str:
    """A span, in the unit that suits it: 12 ms, 3.4 s, 2 min 5 s, 3 h 2 min."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def pretty(value: Any) -> str:
    """JSON, indented."""
    return json.dumps(readable(value), indent=2, ensure_ascii=False, default=str)


def inline(value: Any) -> str:
    """JSON on one line; text as it is, and nothing for what is not there."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(readable(value), ensure_ascii=False, default=str)


def plain(text: str | None) -> str:
    """Text without control characters: what a terminal escape would do, a page does not show."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", readable_text(text or ""))


FILTERS = {
    "when": when,
    "clock": clock,
    "moment": moment,
    "took": took,
    "count": count,
    "pretty": pretty,
    "inline": inline,
    "plain": plain,
}
