"""`hatchet.workers`: the workers that the app declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from headrace.clients.faces import aio
from headrace.errors import NotSupportedError

if TYPE_CHECKING:
    from headrace.models import WorkerInfo, WorkerList


class Declared(Protocol):
    """A worker as the app declares it."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int | None: ...

    @property
    def labels(self) -> Mapping[str, Any]: ...


class Fleet(Protocol):
    """An app, as far as its workers go."""

    def fleet(self) -> Sequence[Declared]: ...


class WorkersClient:
    """The declared workers: a queue and a Lambda function each, so one is ACTIVE as long as it is deployed."""

    def __init__(self, app: Fleet) -> None:
        self._app = app

    def list(self) -> WorkerList:
        """Every worker that the app declares, by name."""
        from headrace.models import WorkerList

        return WorkerList(
            rows=[_info(worker) for worker in sorted(self._app.fleet(), key=lambda each: each.name)]
        )

    aio_list = aio(list)

    def get(self, worker_id: str) -> WorkerInfo:
        """A worker by its name, which is its id. ValueError if the app declares none of that name."""
        for worker in self._app.fleet():
            if worker.name == worker_id:
                return _info(worker)
        raise ValueError(f"no worker is called {worker_id!r}")

    aio_get = aio(get)

    def update(self, worker_id: str, opts: object) -> NoReturn:
        """Not supported."""
        raise NotSupportedError("a worker is changed by deploying it")

    aio_update = aio(update)

    def pause(self, worker_id: str) -> NoReturn:
        """Not supported: disable the event source mapping of the worker's function."""
        raise NotSupportedError("to pause a worker, disable the event source mapping of its Lambda function")

    aio_pause = aio(pause)

    def unpause(self, worker_id: str) -> NoReturn:
        """Not supported: enable the event source mapping of the worker's function."""
        raise NotSupportedError("to go on, enable the event source mapping of the worker's Lambda function")

    aio_unpause = aio(unpause)


def _info(worker: Declared) -> WorkerInfo:
    from headrace.models import ResourceId, WorkerInfo

    return WorkerInfo(
        metadata=ResourceId(id=worker.name),
        name=worker.name,
        slots=worker.slots,
        labels=dict(worker.labels or {}),
    )
