"""From the environment to an app and its worker, once an execution environment."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from headrace.app import Headrace
from headrace.core.values import dataclass
from headrace.definitions.worker import Worker
from headrace.engine.attempts.ports import Host, Outcome, Work
from headrace.errors import LifespanSetupError, NotConfigured
from headrace.runtime.code import raised
from headrace.settings.environment import from_environment
from headrace.settings.settings import Settings
from headrace.telemetry.events import Listener
from headrace.triggers.door import door_of


@cache
def settings() -> Settings:
    return from_environment()


@cache
def app_from_environment() -> Headrace:
    """The app that HEADRACE_APP=module:attribute names. NotConfigured where it names none."""
    path = settings().app
    if not path:
        raise NotConfigured("HEADRACE_APP is not set: give it as module:attribute, such as app:hatchet")
    return load_app(path)


def app_without_code() -> Headrace:
    """An app that goes by what is published. Where payloads are sealed it has the codec of the stack's app, whose code it loads for that."""
    codec = app_from_environment().codec if settings().sealed else None
    return Headrace(config=settings(), codec=codec)


def load_app(path: str) -> Headrace:
    """The app at module:attribute. NotConfigured, with the reason, where there is none."""
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise NotConfigured(f"the app is given as {path!r}: give module:attribute, such as app:hatchet")
    try:
        found = import_app(path)
    except ModuleNotFoundError as error:
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise
        raise NotConfigured(f"there is no module {module_name!r}, which the app {path!r} is in") from error
    if not isinstance(found, Headrace):
        raise NotConfigured(f"{path!r} is {type(found).__name__}, not a Headrace()")
    return found


def import_app(path: str) -> object:
    """What stands at module:attribute; None where the module has no such attribute. Raises what the module raises."""
    module_name, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module_name), attribute, None)


def worker_named(app: Headrace, name: str) -> Worker:
    """The app's worker of that name. NotConfigured where it has none."""
    fleet = {worker.name: worker for worker in app._fleet()}
    if name not in fleet:
        raise NotConfigured(f"the app has no worker {name!r}; it has {', '.join(fleet)}")
    return fleet[name]


def host_for(
    app: Headrace,
    worker_name: str,
    *,
    visibility_s: int | None = None,
    listeners: Sequence[Listener] = (),
    stop_process: Callable[[str], None] | None = None,
    time_left_ms: Callable[[], int] | None = None,
    keeps_code: bool = False,
) -> Host:
    """A host for one of the app's workers; `ready` starts its lifespan. `keeps_code`: see `Host`."""
    worker = worker_named(app, worker_name)
    if app.settings.logger is not None:
        from headrace.runtime.capture import capture_logs

        capture_logs(app.settings)
    extra: dict[str, Any] = {} if time_left_ms is None else {"time_left_ms": time_left_ms}
    return Host(
        worker=worker.name,
        runnables=worker.runnables(),
        visibility_s=visibility_s if visibility_s is not None else app.settings.visibility_s,
        listeners=listeners,
        stop_process=stop_process,
        context=worker.lifespan.context,
        start=door_of(app),
        keeps_code=keeps_code,
        **extra,
    )


def ready(app: Headrace, host: Host) -> Host:
    """The host with its worker's lifespan started. Where that fails, one whose tasks fail with the reason: the next try starts it again."""
    try:
        worker_named(app, host.worker).lifespan.start()
    except LifespanSetupError as error:
        return replace(host, runnables={key: Fails(error) for key in host.runnables})
    return host


@dataclass(frozen=True, slots=True)
class Fails:
    """Stands for code that cannot run, and says why."""

    error: Exception
    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        return raised(self.error)

    async def acall(self, work: Work) -> Outcome:
        return raised(self.error)
