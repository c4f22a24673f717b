"""Powertools' Logger, with the run and the task on every line that is written while an attempt runs.

Powertools is loaded with the first line: an invocation that says nothing does without.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from headrace.triggers.children import current

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


@cache
def _logger() -> Logger:
    """Powertools' logger of Headrace's own lines."""
    from aws_lambda_powertools import Logger

    made = Logger(service="headrace", utc=True, use_rfc3339=True)
    _add_once(made.registered_handler)
    return made


class PowertoolsLines(logging.Formatter):
    """Lines as Powertools writes them, in JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return _formatter().format(record)


@cache
def _formatter() -> logging.Formatter:
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

    return LambdaPowertoolsFormatter(utc=True, use_rfc3339=True)


def _is_powertools(handler: logging.Handler) -> bool:
    """Whether its lines are Powertools' already: ours, or of an app that sets up a Logger itself."""
    module = type(handler.formatter).__module__
    return isinstance(handler.formatter, PowertoolsLines) or module.startswith("aws_lambda_powertools.")


class RunKeys(logging.Filter):
    """Adds run, workflow, task and attempt to a record from the context it is written in: right in threads and on the loop."""

    def filter(self, record: logging.LogRecord) -> bool:
        spawner = current.get()
        if spawner is not None:
            ctx = spawner.context
            record.run_id, record.task = ctx.workflow_run_id, ctx.task_name
            record.workflow, record.attempt = ctx.workflow_name, ctx.attempt_number
        return True


def set_up() -> None:
    """Give Powertools' own lines and every other logger's the run's keys. Doing it twice is harmless."""
    root = logging.getLogger()
    if not any(_is_powertools(handler) for handler in root.handlers):
        for handler in root.handlers:
            handler.setFormatter(PowertoolsLines())
    for handler in root.handlers:
        _add_once(handler)
    if root.level == logging.NOTSET or root.level > logging.INFO:
        root.setLevel(logging.INFO)


def _add_once(handler: logging.Handler) -> None:
    if not any(isinstance(each, RunKeys) for each in handler.filters):
        handler.addFilter(RunKeys())


def info(message: str, **keys: Any) -> None:
    _logger().info(message, extra=_plain(keys))


def warn(message: str, **keys: Any) -> None:
    _logger().warning(message, extra=_plain(keys))


def error(message: str, **keys: Any) -> None:
    _logger().error(message, extra=_plain(keys))


def _plain(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if value is not None}
