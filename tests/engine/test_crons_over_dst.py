"""Crons on the days on which clocks are changed, in three zones: each fires once, within a second of its time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.engine.test_crons import World

DAYS = [
    ("Europe/Berlin", "2026-03-29", 60),
    ("Europe/Berlin", "2026-10-25", -60),
    ("America/New_York", "2026-03-08", 60),
    ("America/New_York", "2026-11-01", -60),
    ("Australia/Lord_Howe", "2026-10-04", 30),
    ("Australia/Lord_Howe", "2026-04-05", -30),
]


def of_the_day(zone: str, day: str) -> tuple[datetime, list[datetime]]:
    """The local day's beginning (UTC), and every minute of it (local)."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    minutes = (midnight + timedelta(minutes=n) for n in range(26 * 60))
    local = [each.astimezone(ZoneInfo(zone)) for each in minutes]
    return midnight, [each for each in local if each.date().isoformat() == day]


@pytest.mark.parametrize(("zone", "day", "change"), DAYS)
@pytest.mark.parametrize("clocks", [1, 2])
def test_each_tick_of_the_day_fires_once_and_within_a_second(
    zone: str, day: str, change: int, clocks: int
) -> None:
    midnight, minutes = of_the_day(zone, day)
    assert len(minutes) == 24 * 60 - change
    due = [each for each in minutes if each.hour in (0, 5, 11, 23) and each.minute in (0, 17)]
    assert len(due) == 8
    began = midnight - timedelta(minutes=3)
    world = World(began=began, on_crons=[f"CRON_TZ={zone} 0,17 0,5,11,23 * * *"])
    world.app._publish()
    world.minutes(len(minutes) + 2, clocks=clocks, step_s=1 if clocks == 1 else 20)
    expected = [int((each.astimezone(UTC) - began).total_seconds() * 1000) for each in due]
    slack_ms = 1_000 if clocks == 1 else 20_000  # the step in which this world receives
    fired = [at_ms for _, at_ms in world.ran]
    assert len(fired) == len(expected)
    assert all(0 <= at - ms < slack_ms for at, ms in zip(fired, expected, strict=True)), (fired, expected)


@pytest.mark.parametrize(("zone", "day", "change"), DAYS)
def test_what_falls_into_the_change_fires_once(zone: str, day: str, change: int) -> None:
    """A time that does not exist, or that comes twice."""
    midnight, minutes = of_the_day(zone, day)
    seen = Counter((each.hour, each.minute) for each in minutes)
    odd = next(
        (hour, minute)
        for hour in range(4)
        for minute in range(60)
        if seen[hour, minute] == (0 if change > 0 else 2)
    )
    world = World(began=midnight - timedelta(minutes=3), on_crons=[f"CRON_TZ={zone} {odd[1]} {odd[0]} * * *"])
    world.app._publish()
    world.minutes(len(minutes) + 2, step_s=20)
    assert len(world.ran) == 1
    assert len({run_id for run_id, _ in world.ran}) == 1
