"""`hatchet.workers`: the workers of the stack."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headrace.core.points import WORKER_PAUSE
from headrace.core.values import dataclass
from headrace.options.labels import worker_name
from headrace.triggers.definition import no_such
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    from headrace.clients.models import UpdateWorkerRequest, WorkerInfo, WorkerList
    from headrace.engine.catalog.workers import LiveWorker
    from headrace.engine.engine import Engine
    from headrace.settings.settings import Settings


class Declared(Protocol):
    """A worker as the app declares it."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int | None: ...

    @property
    def labels(self) -> Mapping[str, Any]: ...

    @property
    def process(self) -> bool: ...

    @property
    def workflows(self) -> Sequence[Any]: ...


class Fleet(Protocol):
    """An app, as far as its workers go."""

    @property
    def engine(self) -> Engine: ...

    @property
    def settings(self) -> Settings: ...

    def _fleet(self) -> Sequence[Declared]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A worker, by the code or by what the stack has published. `slots`: as far as this process's code says."""

    name: str
    process: bool
    labels: Mapping[str, Any]
    workflows: Sequence[str]
    slots: int | None = None


class WorkersClient:
    """The workers of the stack, of this namespace where one is set, whether or not this process has their code. One with a Lambda
    function is ACTIVE as long as it is deployed; one of processes (`process=True`) while any of them is alive, and its labels are theirs."""

    def __init__(self, app: Fleet) -> None:
        self._app = app

    def list(self) -> WorkerList:
        """Every worker, by name: those that the stack has published; where it has published none yet, those that this app declares with
        workflows."""
        from headrace.clients.models.catalog import WorkerList

        workers = self._known()
        alive, paused = self._alive(workers.values()), self._paused()
        return WorkerList(rows=[_info(workers[name], alive, paused) for name in sorted(workers)])

    aio_list = aio(list)

    def get(self, worker_id: str) -> WorkerInfo:
        """A worker by its name, which is its id. ValueError, which names those there are, for none of that name."""
        if not isinstance(worker_id, str):
            raise TypeError(f"a worker's id is its name, a str, not {type(worker_id).__name__}")
        full, workers = worker_name(self._app.settings.apply_namespace(worker_id)), self._known()
        if full not in workers:
            raise ValueError(
                f"no worker of stack {self._app.settings.stack!r} is called {worker_id!r}: {no_such(full, workers)}"
            )
        return _info(workers[full], self._alive([workers[full]]), self._paused())

    aio_get = aio(get)

    def _known(self) -> dict[str, _Known]:
        from headrace.engine.catalog.workers import declared

        space = self._app.settings.prefix
        found = {
            each.worker: _Known(
                name=each.worker, process=each.process, labels=each.labels, workflows=sorted(each.workflows)
            )
            for each in declared(self._app.engine)
            if each.worker.startswith(space)
        }
        published = bool(found)
        for worker in self._app._fleet():
            if worker.name in found or (worker.workflows and not published):
                found[worker.name] = _Known(
                    name=worker.name,
                    process=worker.process,
                    labels=dict(worker.labels),
                    workflows=sorted(workflow.name for workflow in worker.workflows),
                    slots=worker.slots,
                )
        return found

    def _paused(self) -> Container[str]:
        from headrace.engine.waits.kinds.pause import pauses

        return pauses(self._app.engine)

    def _alive(self, workers: Iterable[_Known]) -> Sequence[LiveWorker]:
        """The processes that are alive: one read, where any of the workers has processes only."""
        if not any(worker.process for worker in workers):
            return ()
        from headrace.engine.catalog.workers import live

        return live(self._app.engine)

    def update(self, worker_id: str, opts: UpdateWorkerRequest) -> WorkerInfo:
        """Pause a worker, or let it go on, by `opts.is_paused`; nothing where that is None. The worker as it is then."""
        if opts.is_paused is not None:
            (self.pause if opts.is_paused else self.unpause)(worker_id)
        return self.get(worker_id)

    aio_update = aio(update)

    def pause(self, worker_id: str) -> None:
        """Let a worker, by its name, begin no more tasks until `unpause`: they stay QUEUED, for as long as their schedule timeouts say.

        What has begun goes on, and is retried there. Its processes and functions know of it within 10 seconds. Pausing again is harmless.
        ValueError for a worker that there is not.
        """
        from headrace.engine.waits.kinds.pause import Pause, pause

        pause(self._app.engine, WORKER_PAUSE + self.get(worker_id).name, Pause(queue_ttl_ms=None))

    aio_pause = aio(pause)

    def unpause(self, worker_id: str) -> None:
        """Let a worker, by its name, begin tasks again: those that wait, too, within seconds. One that is not paused stays as it is.

        ValueError for a worker that there is not.
        """
        from headrace.engine.waits.kinds.pause import unpause

        unpause(self._app.engine, WORKER_PAUSE + self.get(worker_id).name)

    aio_unpause = aio(unpause)


def _status(worker: _Known, processes: Sequence[LiveWorker], paused: Container[str]) -> str:
    if WORKER_PAUSE + worker.name in paused:
        return "PAUSED"
    return "ACTIVE" if processes or not worker.process else "INACTIVE"


def _info(worker: _Known, alive: Sequence[LiveWorker], paused: Container[str]) -> WorkerInfo:
    from headrace.clients.models import ResourceId, WorkerInfo

    processes = [each for each in alive if each.worker == worker.name] if worker.process else []
    labels = dict(worker.labels or {})
    for process in processes:
        labels |= process.labels
    return WorkerInfo(
        metadata=ResourceId(id=worker.name),
        name=worker.name,
        status=_status(worker, processes, paused),
        slots=worker.slots,
        labels=labels,
        workflows=list(worker.workflows),
    )
