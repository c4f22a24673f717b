"""Crons, scheduled and debounced runs, events with filters, webhooks and replays, under every fault, held against what was asked for; and mistakes that this has to
find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from headrace.core.run.message import FiringKind
from headrace.core.run.request import Cron, Event, derived_run_id
from headrace.engine.clock import fire
from headrace.engine.events import webhooks
from headrace.engine.runs import replay as replaying
from headrace.triggers import start
from simulation.seeds import find, rates_of
from simulation.trigger_world import simulate_triggers

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]

SEEDS, MORE_SEEDS = range(8), range(8, 500)
TO_FIND = 300
FOUND_BY: dict[str, int] = {}
"""A seed that has found the mistake, tried before the others. A change of the engine changes what happens in every seed."""

MET = {
    "an event",
    "a cron fired",
    "a scheduled run",
    "a replay",
    "a debounced run",
    "a request became an event",
}
MET_BY_MANY = MET | {"a scheduled run was put off", "a scheduled run was deleted"}


def test_what_was_asked_for_starts_once() -> None:
    _hold(SEEDS, MET)


@pytest.mark.scale
@pytest.mark.timeout(1_200)
def test_what_was_asked_for_starts_once_in_many_worlds() -> None:
    _hold(MORE_SEEDS, MET_BY_MANY)


def _hold(seeds: range, wanted: set[str]) -> None:
    met: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for seed in seeds:
        sim = simulate_triggers(seed, rates=rates_of(seed))
        met.update(sim.met)
        faults.update(sim.faults)
    assert {kind for kind, count in met.items() if count} >= wanted
    assert {kind for kind, count in faults.items() if count} >= {
        "kill", "freeze", "throttle", "lost", "retried", "duplicate"
    }  # fmt: skip


def test_a_seed_is_the_whole_of_it() -> None:
    assert [simulate_triggers(seed, trace=True).log for seed in range(3)] == [
        simulate_triggers(seed, trace=True).log for seed in range(3)
    ]


# ---------------------------------------------------------------- mistakes


def _runs_have_ids_of_their_own(kind: type) -> list[Any]:
    """Who starts a run on account of the same thing starts another one."""

    def run_id(workflow: str, origin: Any) -> str | None:
        return None if isinstance(origin, kind) else derived_run_id(workflow, origin)

    return [patch.object(start, "derived_run_id", run_id)]


def _a_replays_message_replays_again() -> list[Any]:
    """One that comes once more, when the generation that it began is over, begins another."""

    def in_its_stead(engine: Any, record: Any, message: Any) -> Any:
        order, now = message.replay, record.generation
        if order is not None and now is not None:
            generation = replace(order.generation, number=now.number + 1)
            message = replace(message, replay=replace(order, after=now.token, generation=generation))
        return original(engine, record, message)

    original = replaying.replay_for_dead_client
    return [patch.object(replaying, "replay_for_dead_client", in_its_stead)]


def _a_debounced_run_starts_with_its_first_message() -> list[Any]:
    """It is not gone after, where calls have put it off."""

    def fire_debounced(engine: Any, start: Any, message: Any) -> None:
        run = fire.get_scheduled(engine, message.id, FiringKind.DEBOUNCE)
        marked = fire.mark_started(engine, run) if run is not None else None
        if marked is not None:
            fire.start_scheduled(engine, start, marked)
            fire.forget_debounced(engine, marked)

    return [patch.object(fire, "_fire_debounced", fire_debounced)]


MISTAKES: dict[str, Callable[[], list[Any]]] = {
    "a cron fires twice": lambda: _runs_have_ids_of_their_own(Cron),
    "an event starts a run at each delivery": lambda: _runs_have_ids_of_their_own(Event),
    "a replay's message starts a second generation": _a_replays_message_replays_again,
    "a debounced run starts with its first message": _a_debounced_run_starts_with_its_first_message,
    "requests are not held against the secret": lambda: [
        patch.object(webhooks, "is_authentic", lambda *given, **options: True)
    ],
    "a sender is told before its event is sent": lambda: [
        patch.object(webhooks, "push", lambda *given: None)
    ],
}


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_found(name: str) -> None:
    find(
        MISTAKES[name],
        lambda seed: simulate_triggers(seed, rates=rates_of(seed)),
        (FOUND_BY.get(name, 0), *range(TO_FIND)),
    )
