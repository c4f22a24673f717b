"""Cron expressions: what they say, and when they are due.

cronsim does the arithmetic. It and croniter were compared: both are kept; croniter needs two more packages at run time and lets
day-of-month and day-of-week combine by an option, puts seconds last, and accepts impossible dates; cronsim needs none, puts
seconds first as Hatchet does, takes 7 for Sunday, means *either* where both day fields are given, refuses 31 February, is
typed, and goes through changes of summer time as Debian's cron does. It watches crons in production (Healthchecks). BSD licence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from headrace.core.values import dataclass
from headrace.errors import DefinitionError

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

MAKE_UP_MS = 120_000
"""A tick missed by at most so much is made up, if it is the newest one (Hatchet makes up none)."""

FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
_RANGES = ("0-59", "0-59", "0-23", "1-31", "1-12", "0-7, where 0 and 7 are Sunday")
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CronExpression:
    """An expression that was checked, and its time zone's name. `str` gives it back as it is written."""

    expression: str
    timezone: str = "UTC"

    def __str__(self) -> str:
        return self.expression if self.timezone == "UTC" else f"CRON_TZ={self.timezone} {self.expression}"


def parse_cron(given: str, where: str, timezone: str | None = None) -> CronExpression:
    """An expression of 5 fields, or 6 with seconds first, or an alias such as @daily; UTC unless it begins with `CRON_TZ=<zone>`
    or `timezone` says otherwise. DefinitionError, which begins with `where`, for one that is wrong or is never due."""
    if not isinstance(given, str) or not given.strip():
        raise DefinitionError(f"{where}: the cron expression is {given!r}: give one such as '0 3 * * *'")
    zone = _ZONE.fullmatch(given.strip())
    if zone is not None and timezone is not None and zone[1] != timezone:
        raise DefinitionError(
            f"{where}: cron expression {given!r} names another time zone than timezone={timezone!r}"
        )
    name = (zone[1] if zone is not None else timezone) or "UTC"
    text = " ".join((zone[2] if zone is not None else given).split())
    _zone(name, f"{where}: cron expression {given!r}")
    _check(text, f"{where}: cron expression {given!r}")
    return CronExpression(text, name)


def _check(text: str, where: str) -> None:
    from cronsim import CronSim, CronSimError

    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise DefinitionError(f"{where}: {text!r} is not an alias: give one of {', '.join(ALIASES)}")
        return
    fields = text.split()
    if len(fields) not in (5, 6):
        raise DefinitionError(
            f"{where} has {len(fields)} fields: give 5 (minute, hour, day of month, month, day of week) or 6 with seconds first"
        )
    try:
        due = next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        raise DefinitionError(f"{where}: {_what_is_wrong(fields, str(error))}") from error
    if due is None:
        raise DefinitionError(f"{where} is never due: no date matches its days and months")


def _what_is_wrong(fields: list[str], error: str) -> str:
    padded = ["0", *fields] if len(fields) == 5 else fields
    for place, name in enumerate(FIELDS):
        if error == f"Bad {name.replace(' ', '-')}":
            if place == 3 and _in_range(padded[3]):
                return f"no month {padded[4]!r} has a day {padded[3]!r}, so it is never due"
            return f"the {name} is {padded[place]!r}: give {_RANGES[place]}, as *, a-b, a,b or */n"
    return error


def _in_range(days: str) -> bool:
    return all(day.isdigit() and 1 <= int(day) <= 31 for day in re.split(r"[,-]", days))


def _zone(name: str, where: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise DefinitionError(
            f"{where}: {name!r} is not a time zone: give a name of the tz database, such as 'Europe/Berlin'"
        ) from error


@lru_cache(maxsize=256)
def _expanded(expression: str) -> str:
    return ALIASES.get(expression.lower(), expression)


def due_after(cron: CronExpression, after_ms: int) -> Iterator[int]:
    """The times it is due, later than `after_ms`, in milliseconds since the epoch. Ends where none comes in 50 years."""
    from cronsim import CronSim

    zone = _zone(cron.timezone, str(cron))
    start = datetime.fromtimestamp(after_ms / 1000, zone)
    for due in CronSim(_expanded(cron.expression), start):
        yield int(due.timestamp()) * 1000


def newest_due(cron: CronExpression, until_ms: int) -> int | None:
    """The last time it was due, not later than `until_ms`."""
    from cronsim import CronSim

    zone = _zone(cron.timezone, str(cron))
    start = datetime.fromtimestamp(until_ms / 1000 + 0.001, zone)
    found = next(CronSim(_expanded(cron.expression), start, reverse=True), None)
    return int(found.timestamp()) * 1000 if found is not None else None


@dataclass(frozen=True, slots=True)
class Ticks:
    """The ticks to send now, and the next one after them (None: it is never due again)."""

    send: tuple[int, ...]
    next_ms: int | None


def ticks(cron: CronExpression, due_ms: int, *, now_ms: int, until_ms: int) -> Ticks:
    """What a cron whose next tick is `due_ms` has to send: all ticks from now on that are due before `until_ms`, and of those that
    were missed the newest, if it was missed by MAKE_UP_MS at most."""
    out: list[int] = []
    if due_ms <= now_ms:
        newest = newest_due(cron, now_ms)
        if newest is not None and newest >= max(due_ms, now_ms - MAKE_UP_MS):
            out.append(newest)
    for due in due_after(cron, max(due_ms - 1, now_ms)):
        if due >= until_ms:
            return Ticks(tuple(out), due)
        out.append(due)
    return Ticks(tuple(out), None)
