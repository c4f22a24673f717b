"""Worlds opened on an app, and closed again: time, functions and the app's engine are as they were afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from headrace.core.changes import Item, Key, Put
from headrace_infra.local.resources import Deployed
from headrace_infra.testing.simulated.patching import replaced, users_modules, virtual_time
from headrace_infra.testing.simulated.world import World

if TYPE_CHECKING:
    from headrace.app import Headrace


@contextmanager
def _silent() -> Iterator[None]:
    """What the library logs of faults is in the story."""
    loggers = [logging.getLogger(name) for name in ("headrace", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


_published: dict[int, tuple[Headrace, int, list[Item]]] = {}


def published(app: Headrace, deployed: Deployed) -> list[Item]:
    """What a deployment of the app leaves in the table. Every world begins at the same time, so it is the same for all; made once a
    process, as long as no workflow is added."""
    app_of, size, items = _published.get(id(app), (app, -1, []))
    if size == len(app._served()):
        return items
    world, before = World(app_of, deployed, 0, faults=False), app._connection.engine
    app._connection.engine = world.engine
    try:
        app._publish(every_zone=True)
    finally:
        app._connection.engine = before
        world.close()
    _published[id(app)] = app, len(app._served()), world.store.items()
    return _published[id(app)][2]


@contextmanager
def opened(
    app: Headrace,
    deployed: Deployed,
    seed: int,
    *,
    faults: bool = True,
    only: frozenset[int] | None = None,
    once: Sequence[str] = (),
    closing: bool = True,
) -> Iterator[World]:
    """A world with the app on it, as it was afterwards. `once`: functions that are to be done once, by name. closing: False where this
    process ends next: then nothing of what was cut off is unwound."""
    world = World(app, deployed, seed, faults=faults, only=only)
    before = app._connection.engine
    with ExitStack() as stack:
        stack.enter_context(_silent())
        stack.enter_context(virtual_time(world.clock, seed))
        stack.enter_context(_noting(world, once))
        stack.callback(setattr, app._connection, "engine", before)
        if closing:
            stack.callback(world.close)
        app._connection.engine = world.engine
        for item in published(app, deployed):
            world.store.write(Put(key=Key(str(item["pk"]), str(item["sk"])), item=item))
        yield world


@contextmanager
def _noting(world: World, once: Sequence[str]) -> Iterator[None]:
    from headrace_infra.testing.simulated.once import found_at

    with ExitStack() as stack:
        for name in once:
            owner, attribute, function = found_at(name)
            noted = world.watch.once(function, name.rpartition(":")[2])
            stack.callback(setattr, owner, attribute, function)
            setattr(owner, attribute, noted)
            stack.enter_context(replaced({function: noted}, users_modules()))
        yield
