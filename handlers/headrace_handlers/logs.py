"""Powertools' Logger, with the run and the task on every line that is written while an attempt runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from headrace.triggers.children import current

logger = Logger(service="headrace", utc=True, use_rfc3339=True)


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
    _add_once(logger.registered_handler)
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, LambdaPowertoolsFormatter) for handler in root.handlers):
        for handler in root.handlers:
            handler.setFormatter(LambdaPowertoolsFormatter(utc=True, use_rfc3339=True))
    for handler in root.handlers:
        _add_once(handler)
    if root.level == logging.NOTSET or root.level > logging.INFO:
        root.setLevel(logging.INFO)


def _add_once(handler: logging.Handler) -> None:
    if not any(isinstance(each, RunKeys) for each in handler.filters):
        handler.addFilter(RunKeys())


def info(message: str, **keys: Any) -> None:
    logger.info(message, extra=_plain(keys))


def warn(message: str, **keys: Any) -> None:
    logger.warning(message, extra=_plain(keys))


def error(message: str, **keys: Any) -> None:
    logger.error(message, extra=_plain(keys))


def _plain(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if value is not None}
