"""`hatchet.workers`: the workers that the app declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from headrace.errors import NotSupportedError
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    from headrace.clients.models import WorkerInfo, WorkerList
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


class Fleet(Protocol):
    """An app, as far as its workers go."""

    @property
    def engine(self) -> Engine: ...

    @property
    def settings(self) -> Settings: ...

    def _fleet(self) -> Sequence[Declared]: ...


class WorkersClient:
    """The declared workers. One with a Lambda function is ACTIVE as long as it is deployed; one of processes (`process=True`) while
    any of them is alive, and its labels are theirs."""

    def __init__(self, app: Fleet) -> None:
        self._app = app

    def list(self) -> WorkerList:
        """Every worker that the app declares, by name."""
        from headrace.clients.models import WorkerList

        workers = sorted(self._app._fleet(), key=lambda each: each.name)
        alive = self._alive(workers)
        return WorkerList(rows=[_info(worker, alive) for worker in workers])

    aio_list = aio(list)

    def get(self, worker_id: str) -> WorkerInfo:
        """A worker by its name, which is its id. ValueError if the app declares none of that name."""
        full = self._app.settings.apply_namespace(worker_id)
        for worker in self._app._fleet():
            if worker.name == full:
                return _info(worker, self._alive([worker]))
        raise ValueError(f"no worker is called {worker_id!r}")

    aio_get = aio(get)

    def _alive(self, workers: Sequence[Declared]) -> Sequence[LiveWorker]:
        """The processes that are alive: one read, where any of the workers has processes only."""
        if not any(worker.process for worker in workers):
            return ()
        from headrace.engine.catalog.workers import live

        return live(self._app.engine)

    def update(self, worker_id: str, opts: object) -> NoReturn:
        """Not supported."""
        raise NotSupportedError("a worker is changed by deploying it")

    aio_update = aio(update)

    def pause(self, worker_id: str) -> NoReturn:
        """Not supported: disable the event source mapping of the worker's function, or stop its processes."""
        raise NotSupportedError(
            "to pause a worker, disable the event source mapping of its Lambda function, or stop its processes"
        )

    aio_pause = aio(pause)

    def unpause(self, worker_id: str) -> NoReturn:
        """Not supported: enable the event source mapping of the worker's function, or start its processes."""
        raise NotSupportedError(
            "to go on, enable the event source mapping of the worker's Lambda function, or start its processes"
        )

    aio_unpause = aio(unpause)


def _info(worker: Declared, alive: Sequence[LiveWorker]) -> WorkerInfo:
    from headrace.clients.models import ResourceId, WorkerInfo

    processes = [each for each in alive if each.worker == worker.name] if worker.process else []
    labels = dict(worker.labels or {})
    for process in processes:
        labels |= process.labels
    return WorkerInfo(
        metadata=ResourceId(id=worker.name),
        name=worker.name,
        status="ACTIVE" if processes or not worker.process else "INACTIVE",
        slots=worker.slots,
        labels=labels,
    )
