"""The Headrace app: where tasks and workflows are declared, and from where they are run."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.clients.surface import Clients
from headrace.context.middleware import Middleware
from headrace.definitions.base import BaseWorkflow
from headrace.definitions.declaring import Declaring
from headrace.definitions.registry import Registry
from headrace.definitions.worker import Worker
from headrace.engine.engine import Engine, Limits
from headrace.errors import DefinitionError, NotSupportedError
from headrace.options.labels import Candidate
from headrace.settings.environment import from_environment
from headrace.settings.settings import Settings
from headrace.settings.version import VERSION
from headrace.triggers.children import current
from headrace.values.expressions import LazyExpressions

if TYPE_CHECKING:
    from headrace.context.context import Context
    from headrace.ports import Ports
    from headrace.values.sealing import PayloadCodec

I = TypeVar("I")  # noqa: E741  # the input

ENGINE_VERSION = "v0.88.1"
"""The version of Hatchet's engine whose behaviour is matched."""

BACKEND = "headrace.aws.wiring"


class _Connection:
    """The engine of an app, and of those that share its registry."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.lock = threading.RLock()


class Headrace(Declaring, Clients):
    """An app: tasks, workflows, workers, and the clients to run and watch them.

    Made at import time by every module that defines tasks: it does no I/O and needs no token. AWS is reached when the first run
    is started or read, by the settings (HEADRACE_… in the environment) and boto3's own configuration.

    Apps of one stack and namespace whose workflows are registered on one worker become one: a project may make one in each module.
    `debug` logs at DEBUG what Headrace logs (deprecated, as in Hatchet: `ClientConfig(debug=True)`); `client` is refused.
    `codec` seals inputs, outputs, errors, logs, events and streams before they leave the process: see `headrace.crypto.AesGcmCodec`.
    """

    def __init__(
        self,
        debug: bool | None = None,
        client: Any = None,
        config: Settings | None = None,
        codec: PayloadCodec | None = None,
    ) -> None:
        if client is not None:
            raise NotSupportedError("Headrace has no client object to be given: leave client out")
        self._config = config
        self._codec = codec
        self._settings: Settings | None = None
        self._debug = debug
        self._registry = Registry(self)
        self._connection = _Connection()
        self.middleware = Middleware()
        """Code around every task of this app: see Middleware."""
        self._bulk_progress: Callable[[int], None] | None = None
        """Called with the number of runs started so far while a large `run_many` is sent."""

    @property
    def _app(self) -> Headrace:
        return self

    # ---- settings and engine

    @property
    def settings(self) -> Settings:
        """Where the stack is, and how this process talks to it: as given, else read from the environment once."""
        if self._settings is None:
            self._settings = self._config if self._config is not None else from_environment()
            if self._debug or self._settings.debug:
                logging.getLogger("headrace").setLevel(logging.DEBUG)
        return self._settings

    @property
    def codec(self) -> PayloadCodec | None:
        """What seals the payloads; None: they are stored in the clear."""
        return self._codec

    @property
    def config(self) -> Settings:
        return self.settings

    @property
    def debug(self) -> bool:
        return bool(self._debug) or self.settings.debug

    @property
    def namespace(self) -> str:
        return self.settings.prefix

    @property
    def tenant_id(self) -> str:
        """The stack's name."""
        return self.settings.stack

    @property
    def logger(self) -> logging.Logger:
        return self.settings.logger or logging.getLogger("headrace")

    @property
    def engine(self) -> Engine:
        """The engine on this app's ports; connected to AWS when first asked for, unless `use` installed others."""
        with self._connection.lock:
            if self._connection.engine is None:
                ports: Ports = importlib.import_module(BACKEND).connect(self.settings)
                self._connection.engine = self._engine_on(ports)
            return self._connection.engine

    @property
    def _is_connected(self) -> bool:
        """Whether the engine is there: something was run or read, or `use` installed ports."""
        return self._connection.engine is not None

    def use(self, ports: Ports | None, *, limits: Limits | None = None) -> None:
        """Run on other ports (None: on AWS again): for tests and local runtimes."""
        with self._connection.lock:
            self._connection.engine = self._engine_on(ports, limits) if ports is not None else None

    def _engine_on(self, ports: Ports, limits: Limits | None = None) -> Engine:
        limits = limits or Limits(
            retention_s=self.settings.retention_days * 86_400, max_crashes=self.settings.max_crashes
        )
        opened: dict[str, Any] = {}
        if self._codec is not None:
            from headrace.values.sealed import SealedQueues, sealed_limits, sealed_ports

            ports, limits = sealed_ports(ports, self._codec), sealed_limits(limits)
            if isinstance(ports.queues, SealedQueues):
                opened["opened"] = ports.queues.opened
        return Engine.on(
            ports,
            expressions=LazyExpressions(),
            limits=limits,
            gate_limits=lambda: self._registry.gate_limits,
            next_queues=lambda: self._registry.next_queues,
            own_plans=lambda: [workflow.plan() for workflow in self._registry.served()],
            **opened,
        )

    # ---- what is declared: for the library's other parts

    @property
    def _workflows_by_name(self) -> Mapping[str, BaseWorkflow[Any, Any]]:
        return self._registry.workflows

    @property
    def _workers_declared(self) -> Sequence[Worker]:
        return self._registry.workers

    @property
    def _declared_rate_limits(self) -> dict[str, tuple[int, int]]:
        return self._registry.rate_limits

    def _fleet(self) -> list[Worker]:
        return self._registry.fleet()

    def _served(self) -> list[BaseWorkflow[Any, Any]]:
        return self._registry.served()

    def _knows_workers(self, workflow: str) -> bool:
        return self._registry.knows_workers(workflow)

    def _candidates(self, workflow: str) -> list[Candidate]:
        return self._registry.candidates(workflow)

    def _may_start(self, worker: str) -> frozenset[str] | None:
        return self._registry.may_start(worker)

    def _zone_of(self, workflow: str) -> str | None:
        return self._registry.zone_of(workflow)

    def _check_here(self, workflow: str, what: str) -> None:
        """ZoneError where the workflow is known to be in another zone than the code that asks."""
        if self._registry.has_zones and self._registry.zone_of(workflow) is not None:
            from headrace.triggers.definition import found_here

            found_here(self, workflow, what)

    def _take_in(self, other: Headrace) -> None:
        """Become one with another app: a workflow of its is registered on a worker of this one's. DefinitionError where the two
        are not of one stack and namespace."""
        if other._registry is self._registry:
            return
        for name in ("stack", "namespace", "table"):
            ours, theirs = getattr(self.settings, name), getattr(other.settings, name)
            if ours != theirs:
                raise DefinitionError(
                    f"a worker of {name} {ours!r} cannot run workflows of {name} {theirs!r}: give both apps the same settings"
                )
        if self._codec is not other._codec:
            raise DefinitionError(
                "a worker cannot run workflows of an app with another payload codec: give both apps the same object as codec="
            )
        if not self._is_connected:
            self._connection.engine = other._connection.engine
        self._registry.merge(other._registry)
        for app in self._registry.apps:
            app._registry, app._connection = self._registry, self._connection

    def _publish(self, *, every_zone: bool = False) -> None:
        """Store what is declared, where it has changed: workflows, workers, rate limits. For code that has the whole app: the clock,
        and local runtimes. A few reads, and no write where nothing has changed.

        Of other zones' workflows it is stored where they are and how they start, and not what starts them: that is theirs.
        `every_zone`: this stack has all zones in one table.
        """
        from headrace.clients.admission.rate_limits import register_limits
        from headrace.engine.catalog.deployed import publish_version
        from headrace.engine.catalog.workers import publish_workers
        from headrace.engine.catalog.workflows import elsewhere, publish_workflows
        from headrace.engine.clock.crons import declare_crons
        from headrace.engine.clock.tick import begin

        space = self.settings.prefix
        zone = None if every_zone else self.settings.zone
        published = [
            each if zone in (None, each.zone) else elsewhere(each)
            for each in (workflow.publishable() for workflow in self._served())
        ]
        publish_workflows(self.engine, published, whole_of=space)
        workers = [worker.declared() for worker in self._fleet() if zone in (None, worker.zone)]
        publish_workers(self.engine, workers, whole_of=space)
        register_limits(self.engine, self._declared_rate_limits)
        begin(self.engine)
        declare_crons(self.engine, published, whole_of=space)
        publish_version(self.engine, VERSION)

    @property
    def current_context(self) -> Context | None:
        """The context of the task that runs here; None outside of tasks."""
        spawner = current.get()
        return spawner.context if spawner is not None else None

    def get_current_context(self) -> Context | None:
        """Deprecated: use `current_context`."""
        return self.current_context

    async def aio_get_engine_version(self) -> str | None:
        """The version of Hatchet's engine whose behaviour is matched."""
        return ENGINE_VERSION

    if not TYPE_CHECKING:  # a type checker refuses a misspelt name

        def __getattr__(self, name: str) -> Any:
            if name in ("dispatcher", "listener"):
                raise NotSupportedError(f"hatchet.{name} is not available in this version of Headrace")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


Hatchet = Headrace
