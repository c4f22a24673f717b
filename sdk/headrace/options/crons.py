"""The crons that a workflow declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.core.schedules.cron import CronExpression, parse_cron
from headrace.core.sizes import MAX_KEPT_BYTES, check_size
from headrace.errors import DefinitionError
from headrace.values.codec import input_text


def check_crons(given: Sequence[str] | None, cron_input: Any, where: str) -> tuple[CronExpression, ...]:
    """`on_crons`: each an expression of 5 fields, of 6 with seconds first, or an alias; in UTC, unless it begins with
    `CRON_TZ=Europe/Berlin`. DefinitionError for one that is wrong, never due or given twice, and for an input that is not a JSON object;
    PayloadTooLargeError for one that is too large."""
    if isinstance(given, str):
        raise DefinitionError(f"{where}: on_crons is {given!r}: give a list, such as [{given!r}]")
    found = tuple(parse_cron(each, f"{where}: on_crons") for each in given or ())
    twice = next((each for each in found if found.count(each) > 1), None)
    if twice is not None:
        raise DefinitionError(f"{where}: on_crons has {str(twice)!r} twice")
    if cron_input is not None and not found:
        raise DefinitionError(f"{where}: cron_input is given without on_crons")
    try:
        check_size(f"{where}: cron_input", input_text(cron_input), MAX_KEPT_BYTES)
    except TypeError as error:
        raise DefinitionError(f"{where}: cron_input: {error}") from error
    return found
