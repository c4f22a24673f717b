"""`hatchet.dead_letters`: what was given up because workers crashed under it, or because nothing could be made of its message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.clients.naming import App
from headrace.engine.runs.dead_letters import (
    DeadLetter,
    DeadMessage,
    DeadTask,
    dead_letters,
    forget,
    send_again,
)
from headrace.errors import HeadraceError
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    import builtins

REDRIVEN_FROM = "headrace__redriven_from"
"""The metadata of a run that was started in place of one whose task was given up: that run's id."""


class DeadLettersClient:
    """Tasks that are FAILED because their workers were lost more than `max_crashes` times or their message was never processed, and
    messages that name no run. They are kept as long as runs are, until they are redriven or forgotten."""

    def __init__(self, app: App) -> None:
        self._app = app

    def list(self, limit: int | None = None) -> builtins.list[DeadLetter]:
        """The oldest first; `limit` None: all. Of a namespace: its tasks, and the messages of its workers."""
        found = dead_letters(self._app.engine)
        mine = [letter for letter in found if _name(letter).startswith(self._app.settings.prefix)]
        return mine if limit is None else mine[:limit]

    aio_list = aio(list)

    def redrive(self, letter: DeadLetter, *, worker: str | None = None) -> str:
        """Have it processed again, once its cause is mended: a task's run is started anew with its input, metadata and priority, and its
        id returned; a message is sent to the queue it came from, or to that of `worker`.

        HeadraceError where the run has expired, or a message's queue is not known or its body was not kept. Redriving at the same time
        from two places may start two runs.
        """
        engine = self._app.engine
        match letter:
            case DeadTask():
                started = self._start_anew(letter)
            case DeadMessage(body=None):
                raise HeadraceError(f"dead letter {letter.id}: its body was too large to be kept")
            case DeadMessage(queue=queue):
                target = worker or queue
                if target is None:
                    raise HeadraceError(
                        f"dead letter {letter.id}: the queue that it came from is not known. Give the worker to send it to"
                    )
                send_again(engine, letter, target)
                started = target
        forget(engine, letter)
        return started

    aio_redrive = aio(redrive)

    def forget(self, letter: DeadLetter) -> None:
        """Take it off the list. Its run stays FAILED."""
        forget(self._app.engine, letter)

    aio_forget = aio(forget)

    def _start_anew(self, letter: DeadTask) -> str:
        from headrace.core.run.request import Call, StartOptions, StartRun
        from headrace.engine.runs.read import input_text, read
        from headrace.triggers.start import start_records

        record = read(self._app.engine, letter.run_id)
        if record is None:
            raise HeadraceError(f"dead letter {letter.id}: run {letter.run_id} has expired")
        metadata = {**record.metadata, REDRIVEN_FROM: letter.run_id}
        wanted = StartRun(
            workflow=record.plan.workflow,
            input=input_text(self._app.engine, record),
            options=StartOptions(metadata=metadata, priority=record.priority),
            origin=Call(),
        )
        [started] = start_records(self._app, [wanted])
        return started.run_id


def _name(letter: DeadLetter) -> str:
    """What a namespace is in front of."""
    return letter.workflow if isinstance(letter, DeadTask) else letter.queue or ""
