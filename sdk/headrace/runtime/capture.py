"""What the logger of `ClientConfig(logger=...)` says inside a task is stored with the run, as `ctx.log` lines are."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from headrace.triggers.children import current

if TYPE_CHECKING:
    from headrace.settings.settings import Settings


class RunLogs(logging.Handler):
    """Hands lines to the run of the task that logs them: those of its own loggers and of those below, by the logger's level.

    A task's own threads have no task: use `asyncio.to_thread`, or `contextvars.copy_context().run`. What storing a line logs is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._storing = threading.local()

    def createLock(self) -> None:
        """None: the control is thread-safe, and storing lines under a lock would stop each thread that logs meanwhile."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        spawner = current.get()
        if spawner is None or getattr(self._storing, "now", False):
            return
        self._storing.now = True
        try:
            spawner.context._work.control.log(self.format(record), level=record.levelname)
        except Exception:  # noqa: BLE001  # a line that cannot be formatted or stored costs no attempt
            self.handleError(record)
        finally:
            self._storing.now = False


def capture_logs(settings: Settings) -> None:
    """Have the settings' logger hand its lines to runs, once. Without a logger, or with `disable_log_capture`, nothing is captured."""
    logger = settings.logger
    if logger is None or settings.disable_log_capture:
        return
    if not any(isinstance(each, RunLogs) for each in logger.handlers):
        logger.addHandler(RunLogs())
