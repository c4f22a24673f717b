"""Cron expressions: when they are due, in three zones over changes of summer time, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from headrace.core.schedules.cron import (
    MAKE_UP_MS,
    CronExpression,
    Ticks,
    due_after,
    newest_due,
    parse_cron,
    ticks,
)
from headrace.errors import DefinitionError


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def due(expression: str, after: str, count: int = 3) -> list[str]:
    found = islice(due_after(parse_cron(expression, "t"), at(after)), count)
    return [datetime.fromtimestamp(each / 1000, UTC).strftime("%m-%d %H:%M:%S") for each in found]


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("*/5 * * * *", "2025-01-01T00:00:00", ["01-01 00:05:00", "01-01 00:10:00", "01-01 00:15:00"]),
        ("*/20 * * * * *", "2025-01-01T00:00:00", ["01-01 00:00:20", "01-01 00:00:40", "01-01 00:01:00"]),
        ("30 0 12 * * *", "2025-01-01T00:00:00", ["01-01 12:00:30", "01-02 12:00:30", "01-03 12:00:30"]),
        ("@hourly", "2025-01-01T00:30:00", ["01-01 01:00:00", "01-01 02:00:00", "01-01 03:00:00"]),
        ("@DAILY", "2025-01-01T00:30:00", ["01-02 00:00:00", "01-03 00:00:00", "01-04 00:00:00"]),
        ("@weekly", "2025-01-01T00:00:00", ["01-05 00:00:00", "01-12 00:00:00", "01-19 00:00:00"]),
        ("@monthly", "2025-01-02T00:00:00", ["02-01 00:00:00", "03-01 00:00:00", "04-01 00:00:00"]),
        ("@yearly", "2025-01-02T00:00:00", ["01-01 00:00:00", "01-01 00:00:00", "01-01 00:00:00"]),
        # 7 is Sunday
        ("0 0 * * 7", "2025-01-01T00:00:00", ["01-05 00:00:00", "01-12 00:00:00", "01-19 00:00:00"]),
        # either the 13th or a Friday
        ("0 0 13 * 5", "2025-01-01T00:00:00", ["01-03 00:00:00", "01-10 00:00:00", "01-13 00:00:00"]),
        ("0 9 * * MON-WED", "2025-01-01T10:00:00", ["01-06 09:00:00", "01-07 09:00:00", "01-08 09:00:00"]),
        # leap days only
        ("0 0 29 2 *", "2025-01-01T00:00:00", ["02-29 00:00:00", "02-29 00:00:00", "02-29 00:00:00"]),
        # 30 March 2025, Berlin: 2:30 does not exist; it fires right after the gap, once
        ("CRON_TZ=Europe/Berlin 30 2 * * *", "2025-03-28T12:00:00", ["03-29 01:30:00", "03-30 01:00:00", "03-31 00:30:00"]),
        # 26 October 2025, Berlin: 2:30 comes twice; it fires once
        ("TZ=Europe/Berlin 30 2 * * *", "2025-10-25T12:00:00", ["10-26 00:30:00", "10-27 01:30:00", "10-28 01:30:00"]),
        # New York, 9 March and 2 November 2025
        ("CRON_TZ=America/New_York 0 3 * * *", "2025-03-08T12:00:00", ["03-09 07:00:00", "03-10 07:00:00", "03-11 07:00:00"]),
        ("CRON_TZ=America/New_York 30 1 * * *", "2025-11-01T12:00:00", ["11-02 05:30:00", "11-03 06:30:00", "11-04 06:30:00"]),
        # Lord Howe moves by half an hour: 5 October 2025
        ("CRON_TZ=Australia/Lord_Howe 0 4 * * *", "2025-10-03T18:00:00", ["10-04 17:00:00", "10-05 17:00:00", "10-06 17:00:00"]),
        # hourly jobs run every hour of a day that has 25 of them
        ("CRON_TZ=Europe/Berlin 0 * * * *", "2025-10-25T23:30:00", ["10-26 00:00:00", "10-26 01:00:00", "10-26 02:00:00"]),
    ],
)  # fmt: skip
def test_when_it_is_due(expression: str, after: str, expected: list[str]) -> None:
    assert due(expression, after) == expected


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("", "the cron expression is ''"),
        ("* * * *", "has 4 fields: give 5"),
        ("* * * * * * *", "has 7 fields"),
        ("61 * * * *", "the minute is '61': give 0-59"),
        ("* 24 * * *", "the hour is '24': give 0-23"),
        ("* * 0 * *", "the day of month is '0'"),
        ("* * * 13 *", "the month is '13': give 1-12"),
        ("* * * * 8", "the day of week is '8': give 0-7"),
        ("60 * * * * *", "the second is '60'"),
        ("*/0 * * * *", r"the minute is '\*/0'"),
        ("5-1 * * * *", "the minute is '5-1'"),
        ("hello * * * *", "the minute is 'hello'"),
        ("0 0 31 2 *", "no month '2' has a day '31', so it is never due"),
        ("0 0 31 4,6 *", "no month '4,6' has a day '31', so it is never due"),
        ("0 0 30 2 *", "no month '2' has a day '30'"),
        ("@fortnightly", "'@fortnightly' is not an alias: give one of @yearly"),
        ("CRON_TZ=Europe/Nowhere 0 0 * * *", "'Europe/Nowhere' is not a time zone"),
        ("CRON_TZ=../etc/passwd 0 0 * * *", "is not a time zone"),
        (None, "the cron expression is None"),
    ],
)
def test_what_is_refused(expression: str, what: str) -> None:
    with pytest.raises(DefinitionError, match=what) as caught:
        parse_cron(expression, "workflow nightly")
    assert str(caught.value).startswith("workflow nightly: ")


def test_the_zone_is_given_once() -> None:
    assert parse_cron("0 3 * * *", "t", "Asia/Tokyo") == CronExpression("0 3 * * *", "Asia/Tokyo")
    assert str(parse_cron("0  3 * * *", "t", "Asia/Tokyo")) == "CRON_TZ=Asia/Tokyo 0 3 * * *"
    assert str(parse_cron("@daily", "t", "UTC")) == "@daily"
    with pytest.raises(DefinitionError, match="names another time zone than timezone='UTC'"):
        parse_cron("TZ=Asia/Tokyo 0 3 * * *", "t", "UTC")


MINUTE = 60_000
NOON = at("2025-01-01T12:00:00")


@pytest.mark.parametrize(
    ("expression", "due_ms", "now_ms", "sent", "next_ms"),
    [
        ("* * * * *", NOON + MINUTE, NOON, [1, 2, 3, 4], 5),
        ("* * * * *", NOON, NOON, [0, 1, 2, 3, 4], 5),  # due now
        ("0 * * * *", NOON + 60 * MINUTE, NOON, [], 60),  # later than the horizon
        ("0 * * * *", NOON, NOON + 119_000, [0], 60),  # missed, made up
        ("0 * * * *", NOON, NOON + MAKE_UP_MS, [0], 60),  # the last moment
        ("0 * * * *", NOON, NOON + MAKE_UP_MS + 1, [], 60),  # missed, too late
        ("* * * * *", NOON - 600 * MINUTE, NOON + 1, [0, 1, 2, 3, 4, 5], 6),  # a day's stop: only the newest
        ("0 12 1 1 *", NOON + MINUTE, NOON + 2 * MINUTE, [], 525_600),  # the newest was before what is due
    ],
)
def test_which_ticks_are_sent(
    expression: str, due_ms: int, now_ms: int, sent: list[int], next_ms: int
) -> None:
    found = ticks(parse_cron(expression, "t"), due_ms, now_ms=now_ms, until_ms=now_ms + 5 * MINUTE)
    assert found == Ticks(tuple(NOON + each * MINUTE for each in sent), NOON + next_ms * MINUTE)


def test_the_newest_is_found_backwards() -> None:
    assert newest_due(parse_cron("*/30 * * * *", "t"), NOON + 29 * MINUTE) == NOON
    assert newest_due(parse_cron("*/30 * * * *", "t"), NOON) == NOON
    assert newest_due(parse_cron("CRON_TZ=Asia/Tokyo 0 21 * * *", "t"), NOON + 1) == NOON
