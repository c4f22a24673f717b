"""The same random sends, delays, receives, hidings and deletions, in memory and on the emulators, with time that passes.

Scenarios run side by side, each on its own queue, and go on together every two seconds. Spans are odd numbers of
seconds, so that nothing falls due within a second of a step: MiniStack's time is real.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import Random

from contract.backends import Backend, in_memory
from headrace.ports import Outgoing, Received

SCENARIOS = 24
STEPS = 5
STEP_S = 2.0
SPANS_S = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Act:
    """One call: `which` picks among the messages delivered so far."""

    kind: str
    span_s: int
    which: int


def draw(random: Random) -> list[list[Act]]:
    kinds = ("send", "receive", "receive", "receive", "hide", "hide", "hide", "delete")
    return [
        [
            Act(kind, _span(random, kind), random.randrange(1000))
            for kind in ["send", *random.choices(kinds, k=random.randint(1, 6))]
        ]
        for _ in range(STEPS)
    ]


def _span(random: Random, kind: str) -> int:
    return random.choice(SPANS_S if kind == "receive" else (0, 0, *SPANS_S))


@dataclass(slots=True)
class Player:
    """Plays one scenario on one backend and notes what it saw.

    Only the last delivery of a message is hidden or deleted, and only what is in flight is hidden: the tables have the rest.
    """

    backend: Backend
    queue: str
    now_s: float = 0
    sent: int = 0
    due_s: dict[str, float] = field(default_factory=dict)
    last: dict[str, Received] = field(default_factory=dict)
    seen: list[object] = field(default_factory=list)

    def play(self, acts: list[Act]) -> None:
        for act in acts:
            if act.kind == "send":
                self.sent += 1
                body = f"{self.queue} {self.sent:03}"
                self.backend.queues.send(self.queue, [Outgoing(body=body, delay_s=act.span_s)])
            elif act.kind == "receive":
                self.seen.append(self.receive(act.span_s))
            elif act.kind == "hide" and (
                flying := [body for body in self.last if self.due_s[body] > self.now_s]
            ):
                body = sorted(flying)[act.which % len(flying)]
                self.backend.queues.hide(self.last[body], act.span_s)
                self.due_s[body] = self.now_s + act.span_s
            elif act.kind == "delete" and self.last:
                self.backend.queues.delete(self.last.pop(sorted(self.last)[act.which % len(self.last)]))

    def receive(self, visibility_s: int) -> set[tuple[str, int]]:
        found: set[tuple[str, int]] = set()
        while batch := self.backend.queues.receive(self.queue, limit=10, wait_s=0, visibility_s=visibility_s):
            for message in batch:
                assert (message.body, message.receive_count) not in found
                found.add((message.body, message.receive_count))
                self.last[message.body] = message
                self.due_s[message.body] = self.now_s + visibility_s
        return found


class TooSlowError(Exception):
    """A step took longer than the spans of time of the scenarios allow."""


def run(backend: Backend, scenarios: list[list[list[Act]]], name: str, *, real_time: bool) -> list[Player]:
    players = [Player(backend, f"{name}-{number}") for number in range(len(scenarios))]
    for player in players:
        backend.make(player.queue)
    for step in range(STEPS):
        began = time.monotonic()
        for player, acts in zip(players, scenarios, strict=True):
            player.now_s = step * STEP_S
            player.play(acts[step])
        spent_s = time.monotonic() - began if real_time else 0.0
        if spent_s >= 0.8:
            raise TooSlowError(f"a step took {spent_s:.1f} s")
        backend.elapse(STEP_S - spent_s)
    for player in players:
        player.seen.append(player.receive(1))
    return players


def letters(backend: Backend, name: str) -> set[str]:
    found: set[str] = set()
    while batch := backend.queues.receive("dead-letters", limit=10, wait_s=0, visibility_s=30):
        found |= {message.body for message in batch if message.body.startswith(name)}
    return found


def test_the_same_scenarios_are_seen_the_same(emulator: Backend) -> None:
    """A machine that is busy plays fewer at a time."""
    random = Random(7)
    scenarios = [draw(random) for _ in range(SCENARIOS)]
    for attempt in range(3):
        name = f"scenario-{attempt}"
        some = scenarios[: SCENARIOS >> attempt]
        try:
            found = run(emulator, some, name, real_time=True)
        except TooSlowError:
            continue
        reference = in_memory()
        expected = run(reference, some, name, real_time=False)
        for number, scenario in enumerate(some):
            assert found[number].seen == expected[number].seen, scenario
        dead = letters(reference, name)
        assert letters(emulator, name) == dead
        assert dead, "no scenario ends in the dead letters"
        return
    raise AssertionError("this machine is too slow for the spans of this test")
