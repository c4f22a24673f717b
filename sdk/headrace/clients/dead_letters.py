"""`hatchet.dead_letters`: what was given up because workers crashed under it, or because nothing could be made of its message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.clients.naming import App
from headrace.engine.owed.dead_letters import (
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

    from headrace.core.run.plans.plan import RunPlan


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
        """Have it processed again, once its cause is mended: what failed of a task's run is replayed, and the run's id returned; a message
        is sent to the queue it came from, or to that of `worker`, whose name is returned. Redriving twice replays once.

        RunNotFound where the run has expired, RunNotOver where it goes on; HeadraceError where a message's queue is not known or its body
        was not kept. The letter stays then.
        """
        engine = self._app.engine
        match letter:
            case DeadTask():
                done = self._replay(letter)
            case DeadMessage(body=None):
                raise HeadraceError(f"dead letter {letter.id}: its body was too large to be kept")
            case DeadMessage(queue=queue):
                target = worker or queue
                if target is None:
                    raise HeadraceError(
                        f"dead letter {letter.id}: the queue that it came from is not known. Give the worker to send it to"
                    )
                send_again(engine, letter, target)
                done = target
        forget(engine, letter)
        return done

    aio_redrive = aio(redrive)

    def forget(self, letter: DeadLetter) -> None:
        """Take it off the list. Its run stays FAILED."""
        forget(self._app.engine, letter)

    aio_forget = aio(forget)

    def _replay(self, letter: DeadTask) -> str:
        from headrace.clients.naming import find_plan
        from headrace.engine.runs.replay import replay_run

        def deployed(workflow: str) -> RunPlan | None:
            return find_plan(self._app, workflow)

        replay_run(
            self._app.engine,
            letter.run_id,
            deployed=deployed,
            only_failed=True,
            id=f"dead letter {letter.id}",
        )
        return letter.run_id


def _name(letter: DeadLetter) -> str:
    """What a namespace is in front of."""
    return letter.workflow if isinstance(letter, DeadTask) else letter.queue or ""
