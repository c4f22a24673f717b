"""The clients of an app, by Hatchet's names. Each is made, and its module imported, when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.clients.admission.gates import GatesClient
    from headrace.clients.admission.rate_limits import RateLimitsClient
    from headrace.clients.admission.waits import WaitsClient
    from headrace.clients.cel import CELClient
    from headrace.clients.dead_letters import DeadLettersClient
    from headrace.clients.logs import LogsClient
    from headrace.clients.metrics import MetricsClient
    from headrace.clients.runs.client import RunsClient
    from headrace.clients.starts.crons import CronClient
    from headrace.clients.starts.events import EventClient
    from headrace.clients.starts.filters import FiltersClient
    from headrace.clients.starts.scheduled import ScheduledClient
    from headrace.clients.starts.webhooks import WebhooksClient
    from headrace.clients.stubs import StubsClient
    from headrace.clients.workers import WorkersClient
    from headrace.clients.workflows import WorkflowsClient


class Clients:
    """What `hatchet.<client>` gives."""

    @property
    def _app(self) -> Headrace:
        raise NotImplementedError

    @cached_property
    def cel(self) -> CELClient:
        """Expressions: debug."""
        from headrace.clients.cel import CELClient

        return CELClient()

    @cached_property
    def runs(self) -> RunsClient:
        """Runs: get, list, cancel, results, streams."""
        from headrace.clients.runs.client import RunsClient

        return RunsClient(self._app)

    @cached_property
    def logs(self) -> LogsClient:
        """Lines that tasks logged: list."""
        from headrace.clients.logs import LogsClient

        return LogsClient(self._app)

    @cached_property
    def stubs(self) -> StubsClient:
        """Workflows and tasks by name, without their code."""
        from headrace.clients.stubs import StubsClient

        return StubsClient(self._app)

    @cached_property
    def cron(self) -> CronClient:
        """Crons: create, list, get, delete."""
        from headrace.clients.starts.crons import CronClient

        return CronClient(self._app)

    @cached_property
    def scheduled(self) -> ScheduledClient:
        """Runs that start once, at a time: create, list, get, update, delete."""
        from headrace.clients.starts.scheduled import ScheduledClient

        return ScheduledClient(self._app)

    @cached_property
    def workflows(self) -> WorkflowsClient:
        """Workflows of the stack: list, get, pause, unpause."""
        from headrace.clients.workflows import WorkflowsClient

        return WorkflowsClient(self._app)

    @cached_property
    def metrics(self) -> MetricsClient:
        """How many tasks wait, run and are done."""
        from headrace.clients.metrics import MetricsClient

        return MetricsClient(self._app)

    @cached_property
    def rate_limits(self) -> RateLimitsClient:
        """The limits of static rate limit keys: put, list."""
        from headrace.clients.admission.rate_limits import RateLimitsClient

        return RateLimitsClient(self._app)

    @cached_property
    def gates(self) -> GatesClient:
        """What holds limits, what waits at them, and what is left of rate limits: list, get, find."""
        from headrace.clients.admission.gates import GatesClient

        return GatesClient(self._app)

    @cached_property
    def waits(self) -> WaitsClient:
        """What durable tasks, and tasks with conditions, wait for: events, times, child runs."""
        from headrace.clients.admission.waits import WaitsClient

        return WaitsClient(self._app)

    @cached_property
    def dead_letters(self) -> DeadLettersClient:
        """Tasks that were given up because their workers crashed, and messages that nothing could be made of: list, redrive, forget."""
        from headrace.clients.dead_letters import DeadLettersClient

        return DeadLettersClient(self._app)

    @cached_property
    def event(self) -> EventClient:
        """Events: push, list, get."""
        from headrace.clients.starts.events import EventClient

        return EventClient(self._app)

    @cached_property
    def filters(self) -> FiltersClient:
        """Which events start which workflows: create, list, get, update, delete."""
        from headrace.clients.starts.filters import FiltersClient

        return FiltersClient(self._app)

    @cached_property
    def webhooks(self) -> WebhooksClient:
        """Requests of other services that become events: create, list, get, update, delete."""
        from headrace.clients.starts.webhooks import WebhooksClient

        return WebhooksClient(self._app)

    @cached_property
    def workers(self) -> WorkersClient:
        """Workers of the stack: list, get."""
        from headrace.clients.workers import WorkersClient

        return WorkersClient(self._app)
