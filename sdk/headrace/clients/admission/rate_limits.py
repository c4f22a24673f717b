"""`hatchet.rate_limits`: the limits of static keys, and how those that the code declares are stored.

A limit that was stored is listed in a partition of its own, so that reading them all costs nothing where units are taken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from headrace.clients.pages import span_of
from headrace.core.changes import Applied, Item, Key, Put
from headrace.core.points import AtRateLimit, encode_point
from headrace.core.table import RATE_LIMITS, gate_key, short_key, static_limit_key
from headrace.core.waits.rate_limit import put_limit, window_of, window_start
from headrace.errors import DefinitionError, StoreUnavailable
from headrace.options.rate_limits import WINDOW_S, RateLimitDuration, check_key, window_s
from headrace.settings.environment import names_stack
from headrace.triggers.faces import aio
from headrace.triggers.results.outcomes import Connected

if TYPE_CHECKING:
    from headrace.clients.models.catalog import RateLimit, RateLimitList
    from headrace.core.run.plans.plan import RatePlan, RunPlan
    from headrace.engine.engine import Engine

MAX_TRIES = 20

Declared: TypeAlias = Mapping[str, tuple[int, int]]
"""Key -> its limit and its window in seconds."""

OrderField: TypeAlias = "Literal['key', 'value', 'limitValue'] | Enum"
Direction: TypeAlias = "Literal['asc', 'desc'] | Enum"


class App(Connected, Protocol):
    """What the client needs of a Headrace app."""

    @property
    def _declared_rate_limits(self) -> dict[str, tuple[int, int]]: ...

    @property
    def _is_connected(self) -> bool: ...


class RateLimitsClient:
    """The limits of static keys. Dynamic ones are set by the tasks that name them."""

    def __init__(self, app: App) -> None:
        self._app = app

    def put(self, key: str, limit: int, duration: RateLimitDuration | str = RateLimitDuration.SECOND) -> None:
        """Set the limit of a static key: `limit` units (1 or more) in each window of `duration`. What is left of the current
        window is lowered to a lower limit; a higher one holds from the next window on.

        At the top level of a module that is being imported it declares: nothing is sent. What is declared is stored with the
        deployment, by the clock, by a worker process that starts, and in `local(app)`; and again when the code says something
        else, so that what is put in between stays. Called anywhere else, it is stored at once, if a stack is named
        (HEADRACE_STACK, or `Settings(stack=...)`) or the app is in use; otherwise it declares, too.
        DefinitionError for no limit; StackNotFound where the stack is not there.
        """
        self._put(key, limit, duration, at_once=self._stores())

    async def aio_put(
        self, key: str, limit: int, duration: RateLimitDuration | str = RateLimitDuration.SECOND
    ) -> None:
        """As `put`, without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self._put, key, limit, duration, at_once=self._stores())

    def _put(self, key: str, limit: int, duration: RateLimitDuration | str, *, at_once: bool) -> None:
        where = f"rate limit {key!r}"
        check_key(key, "rate_limits.put: key")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise DefinitionError(f"{where}: limit is {limit!r}: give a whole number of units, at least 1")
        seconds = window_s(duration, where)
        key = self._app.settings.prefix + key
        self._app._declared_rate_limits[key] = (limit, seconds)
        if at_once:
            set_limit(self._app.engine, key, limit, seconds)

    def _stores(self) -> bool:
        return not is_being_imported() and (self._app._is_connected or names_stack(self._app.settings))

    def list(
        self,
        offset: int | None = None,
        limit: int | None = None,
        search: str | None = None,
        order_by_field: OrderField | None = None,
        order_by_direction: Direction | None = None,
    ) -> RateLimitList:
        """The limits that were put, by key. `search`: those whose key holds this text.

        order_by_field: "key", "value" or "limitValue"; order_by_direction: "asc" (the default) or "desc". ValueError for others.
        """
        from headrace.clients.models.catalog import RateLimitList
        from headrace.clients.models.resource import PaginationResponse

        rows = [row for row in _rows(self._app) if search is None or search in row.key]
        rows.sort(key=lambda row: row.key)
        field = _one_of(order_by_field, {"key": "key", "value": "value", "limitValue": "limit_value"}, "key")
        down = _one_of(order_by_direction, {"asc": "", "desc": "down"}, "asc")
        rows.sort(key=lambda row: getattr(row, field), reverse=bool(down))
        first, size = span_of(offset, limit, default=max(1, len(rows)))
        current, pages = first // size + 1, max(1, -(-len(rows) // size))
        return RateLimitList(
            rows=rows[first : first + size],
            pagination=PaginationResponse(
                current_page=current, next_page=current + 1 if current < pages else None, num_pages=pages
            ),
        )

    aio_list = aio(list)


def is_being_imported() -> bool:
    """Whether code at the top level of a module calls, which is being imported: not that of the script that runs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        known = frame.f_globals
        if frame.f_code.co_name == "<module>" and known.get("__spec__") and known["__name__"] != "__main__":
            return True
        frame = frame.f_back
    return False


def _one_of(given: str | Enum | None, known: Mapping[str, str], default: str) -> str:
    name = given.value if isinstance(given, Enum) else given
    if (name or default) not in known:
        raise ValueError(f"rate limits are ordered by {given!r}: give one of {', '.join(known)}")
    return known[name or default]


# ---------------------------------------------------------------- what is stored


def set_limit(engine: Engine, key: str, limit: int, seconds: int, *, declared: str | None = None) -> None:
    """Store the limit of a static key, whatever it was. StoreUnavailable where others keep changing it."""
    engine.store.write(Put(key=static_limit_key(key), item={"key": key}))
    for _ in range(MAX_TRIES):
        seen = window_of(engine.store.get(_key(key)))
        write = put_limit(key, limit, seconds * 1000, seen=seen, declared=declared)
        if isinstance(engine.store.write(write), Applied):
            if seen.waiting is not None:
                from headrace.engine.waits.kinds.rate_limit import limit_changed

                limit_changed(engine, _key(key).pk)
            return
    raise StoreUnavailable(f"rate limit {key!r} was changed by others each time it was to be set: try again")


def register_limits(engine: Engine, declared: Declared) -> int:
    """Store each limit whose declaration is new or has changed; returns how many. One read where none has.

    A limit that was put since, which its declaration does not say, stays.
    """
    if not declared:
        return 0
    found = dict(zip(declared, engine.store.get_many([_key(key) for key in declared]), strict=True))
    texts = {key: f"{limit}/{seconds}" for key, (limit, seconds) in declared.items()}
    changed = [key for key, item in found.items() if (item or {}).get("declared") != texts[key]]
    for key in changed:
        set_limit(engine, key, *declared[key], declared=texts[key])
    return len(changed)


def _key(key: str) -> Key:
    return gate_key(encode_point(AtRateLimit(short_key(key))))


def _rows(app: App) -> list[RateLimit]:
    listed = (str(item["key"]) for item in app.engine.store.query(RATE_LIMITS))
    keys = [key for key in listed if key.startswith(app.settings.prefix)]
    items = app.engine.store.get_many([_key(key) for key in keys])
    now_ms = app.engine.clock.now_ms()
    rows = (_row(app, key, item or {}, now_ms) for key, item in zip(keys, items, strict=True))
    return [row for row in rows if row is not None]


_NAMES = {seconds * 1000: duration.value for duration, seconds in WINDOW_S.items()}


def _row(app: App, key: str, item: Item, now_ms: int) -> RateLimit | None:
    """None where the limit is not stored yet."""
    from headrace.clients.models.catalog import RateLimit

    window = window_of(item)
    if window.limit is None or window.window_ms is None:
        return None
    return RateLimit(
        key=key.removeprefix(app.settings.prefix),
        tenant_id=app.settings.stack,
        limit_value=window.limit,
        value=window.room(now_ms),
        window=_NAMES.get(window.window_ms, f"{window.window_ms // 1000}s"),
        last_refill=datetime.fromtimestamp(window_start(now_ms, window.window_ms) / 1000, UTC),
    )


# ---------------------------------------------------------------- whether every key has a limit


def static_limits(plans: Sequence[RunPlan]) -> Iterator[tuple[str, RatePlan]]:
    """The rate limits of tasks with a static key; each with its task, in an error's words."""
    for plan in plans:
        for task in plan.tasks:
            for rate in task.rates:
                if not rate.dynamic:
                    yield f"task {task.name} of workflow {plan.workflow}", rate


def limit_not_declared(where: str, key: str) -> str:
    """That a task has a static key without a limit, and what to do."""
    return (
        f"{where} takes units of rate limit {key!r}, whose limit is not set: call hatchet.rate_limits.put({key!r}, limit, "
        "duration) at the top level of the module that defines the app"
    )


def check_limits(engine: Engine, declared: Declared, plans: Sequence[RunPlan]) -> None:
    """DefinitionError where a static key has a limit neither in the code nor in the table: one read of those that the code has not."""
    unknown = {rate.key: where for where, rate in static_limits(plans) if rate.key not in declared}
    items = engine.store.get_many([_key(key) for key in unknown]) if unknown else []
    for (key, where), item in zip(unknown.items(), items, strict=True):
        if window_of(item).limit is None:
            raise DefinitionError(limit_not_declared(where, key))
