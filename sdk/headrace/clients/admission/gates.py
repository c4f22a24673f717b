"""What people see of limits: holders, waiters, and the units left of a rate limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from headrace.clients.naming import App
from headrace.core.values import dataclass
from headrace.triggers.faces import aio

if TYPE_CHECKING:
    import builtins
    from collections.abc import Set as AbstractSet

    from headrace.core.run.plans.plan import RunPlan
    from headrace.engine.waits.views import GateView


class Slotted(Protocol):
    """A worker, as far as its slots go."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int | None: ...


class Gated(App, Protocol):
    """An app, as far as its gates go."""

    def _fleet(self) -> Sequence[Slotted]: ...


@dataclass(frozen=True, slots=True)
class _Declared:
    """What plans and workers say: gates that are known by name, since they have one key; and limits by name."""

    gates: list[str] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)


class GatesClient:
    """What tasks wait for: places of concurrency keys, slots of workers, units of rate limits, paused workflows, labels.

    Known without being named: every gate that a task waits at, or has waited at within the last minutes; and, by the code at hand
    (or, where there is none, by the plans that the stack registered), gates whose key is a plain text, slots of workers, static
    rate limits and paused workflows. A key that comes from an expression, and that no task waits for, has to be given.
    """

    def __init__(self, app: Gated) -> None:
        self._app = app

    def list(self, *, all: bool = False) -> builtins.list[GateView]:  # as the command line says
        """The known gates with holders or waiters, limits with units taken, and paused workflows. `all`: idle ones too.

        A read of the item and a query of the line of each; which gates there are is eventually consistent.
        """
        declared = self._declared()
        views = [self._view(gate, declared) for gate in sorted(self._known(declared))]
        return [view for view in views if all or view.busy]

    aio_list = aio(list)

    def get(self, name: str, key: str | None = None) -> GateView:
        """One gate, by its name and key, or by its whole name as `list` gives it (`gate`). Strongly consistent.

        The key may be left out of a gate that has only one. ValueError where it may not.
        """
        declared = self._declared()
        return self._view(_partition(name, key, declared), declared)

    aio_get = aio(get)

    def find(self, text: str) -> builtins.list[GateView]:
        """The known gates, idle or not, of that name or key, or of that workflow, task or worker; a rate limit of that key."""
        from headrace.core.points import AtRateLimit, encode_point
        from headrace.core.table import short_key
        from headrace.engine.waits.points import address_of, is_gate

        if is_gate(text):
            return [self.get(text)]
        declared = self._declared()
        known = self._known(declared)
        views = [self._view(gate, declared) for gate in sorted(known) if address_of(gate).matches(text)]
        limit = encode_point(AtRateLimit(short_key(text)))
        if limit not in known:
            view = self._view(limit, declared)
            views += [view] if view.window is not None and view.window.limit is not None else []
        return views

    aio_find = aio(find)

    def _view(self, gate: str, declared: _Declared) -> GateView:
        from headrace.engine.waits.views import gate_view

        return gate_view(self._app.engine, gate, limits=declared.limits)

    # ---- which there are

    def _known(self, declared: _Declared) -> AbstractSet[str]:
        from headrace.core.points import AtPause, encode_point
        from headrace.engine.waits.kinds.pause import pauses
        from headrace.engine.waits.views import waited_at

        engine = self._app.engine
        return {
            *waited_at(engine),
            *declared.gates,
            *(encode_point(AtPause(name)) for name in pauses(engine)),
        }

    def _declared(self) -> _Declared:
        from headrace.core.points import AtConcurrency, AtRateLimit, AtSlots, encode_point, limit_name
        from headrace.core.table import short_key
        from headrace.core.waits.passes import literal_key

        found = _Declared()
        for plan in self._plans():
            for gate in (*plan.gates, *(gate for task in plan.tasks for gate in task.gates)):
                found.limits[gate.name] = gate.max_runs
                key = literal_key(gate.expression)
                if key is not None:
                    found.gates.append(encode_point(AtConcurrency(gate.name, short_key(key))))
            for rate in (rate for task in plan.tasks for rate in task.rates if not rate.dynamic):
                found.gates.append(encode_point(AtRateLimit(short_key(rate.key))))
        for worker in self._app._fleet():
            if worker.slots is not None:
                slots = AtSlots(worker.name)
                found.limits[limit_name(slots)] = worker.slots
                found.gates.append(encode_point(slots))
        return found

    def _plans(self) -> Iterator[RunPlan]:
        from headrace.engine.catalog.workflows import all_published

        if self._app._workflows_by_name:
            yield from (planned.plan() for planned in self._app._workflows_by_name.values())
            return
        found = all_published(self._app.engine)
        yield from (found[name].plan for name in sorted(found))


def _partition(name: str, key: str | None, declared: _Declared) -> str:
    from headrace.core.points import WORKER_GATE, AtConcurrency, AtSlots, encode_point
    from headrace.core.table import short_key
    from headrace.engine.waits.points import address_of, is_gate

    if key is not None:
        return encode_point(AtConcurrency(name, short_key(key)))
    if is_gate(name):
        return name
    if name.startswith(WORKER_GATE):
        return encode_point(AtSlots(name.removeprefix(WORKER_GATE)))
    found = next((gate for gate in declared.gates if address_of(gate).name == name), None)
    if found is None:
        raise ValueError(
            f"which gate is {name!r}? Give its key, or its whole name, such as gate#{name}#KEY or rate#{name}"
        )
    return found
