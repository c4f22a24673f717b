"""Senders of two kinds in the world of triggers: callers whose runs are debounced, and services that send requests to a webhook."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.core.events.webhook import Basic, Source, Webhook
from headrace.core.run.record import RunRecord
from headrace.core.run.request import Quiet, StartOptions, StartRun
from headrace.engine.events.webhooks import accept
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.triggers.start import start
from simulation.gate_watch import Violation
from simulation.processes import Killed, pause

GONE = (Killed, StoreUnavailable, QueueUnavailable)

if TYPE_CHECKING:
    from simulation.trigger_world import TriggerSimulation

PERIOD_MS, MOST_MS = 20_000, 70_000
APART_MS = 1_000
"""More than two clocks differ by."""

SECRET, FORGED = "s3cret", 1_000
"""What a sender has to know; and the number of an event of one that does not."""

HOOK = Webhook(
    name="orders",
    source=Source.GENERIC,
    auth=Basic(username="u"),
    secret="",
    key="'order:' + input['kind']",
    scope="input['scope']",
)


@dataclass(slots=True)
class Calls:
    """The debounced calls of one key, one after the other: what each asked for and when, and the run that it was told of (None: it died)."""

    key: str
    asked: list[tuple[int, int]] = field(default_factory=list)
    told: list[str | None] = field(default_factory=list)


def call_often(sim: TriggerSimulation, workflow: str) -> None:
    """Calls of one key, with pauses in which its run may start, or not."""
    calls = Calls(f"k{len(sim.calls)}")
    sim.calls.append(calls)
    for number in range(sim.random.randrange(1, 6)):
        calls.asked.append((number, sim.clock.now_ms()))
        calls.told.append(None)
        wanted = StartRun(
            workflow=workflow,
            input=json.dumps({"n": number}),
            options=StartOptions(
                metadata={"quiet": calls.key},
                debounce=Quiet(key=calls.key, period_ms=PERIOD_MS, max_wait_ms=MOST_MS),
            ),
        )
        try:
            calls.told[-1] = start(sim.app(), [wanted])[0]
        except GONE:
            sim.met["a debounced call died"] += 1
        pause(sim.random.choice((500, 5_000, 15_000, 40_000, 90_000)))


def send_request(sim: TriggerSimulation) -> None:
    """A request of a service, which sends it again until it is told that the event is taken; or of somebody who does not know the secret."""
    number = sim.random.randrange(12)
    forged = sim.random.random() < 0.2
    while not _accepted(sim, FORGED + number if forged else number, "guess" if forged else SECRET):
        if forged:
            return
        pause(sim.random.randrange(1_000, 20_000))


def _accepted(sim: TriggerSimulation, number: int, secret: str) -> bool:
    credentials = base64.b64encode(f"u:{secret}".encode()).decode()
    body = json.dumps({"kind": "paid", "n": number, "scope": "s"}).encode()
    headers = {"authorization": f"Basic {credentials}", "content-type": "application/json"}
    try:
        answer = accept(sim.engine(), HOOK, SECRET, headers, body, namespaced=str, tenant="t")
    except GONE:
        return False
    event = answer.body.get("event")
    if answer.status != 200 or not isinstance(event, dict):
        return False
    sim.pushed[str(event["eventId"])] = number, True
    sim.met["a request became an event"] += 1
    return True


# ---------------------------------------------------------------- at rest


def no_forged_request_started_anything(records: Sequence[RunRecord]) -> None:
    for record in records:
        if _number(record) >= FORGED:
            raise Violation(f"a request that is not authentic started run {record.run_id}")


def debounced_runs_are_as_asked(sim: TriggerSimulation, records: Sequence[RunRecord]) -> None:
    for calls in sim.calls:
        runs = {record.run_id: record for record in records if record.metadata.get("quiet") == calls.key}
        told = [run_id for run_id in calls.told if run_id is not None]
        died = calls.told.count(None)
        if missing := set(told) - runs.keys():
            raise Violation(f"calls {calls.key} were told of runs that have not started: {missing}")
        if len(runs.keys() - set(told)) > died:
            raise Violation(f"calls {calls.key} started {len(runs)} runs: {calls.told}")
        for run_id in dict.fromkeys(told):
            _is_of_the_last_call(sim, calls, runs[run_id])


def _is_of_the_last_call(sim: TriggerSimulation, calls: Calls, run: RunRecord) -> None:
    """It has the input of the last call that was told of it, or of a later one that died; and it started after that one's period."""
    last = max(number for number, run_id in enumerate(calls.told) if run_id == run.run_id)
    after = [number for number, _ in calls.asked[last + 1 :]]
    later = next((number for number in after if calls.told[number] is not None), len(calls.told))
    number = _number(run)
    if not last <= number < later:
        raise Violation(
            f"run {run.run_id} of calls {calls.key} has the input of call {number}, not of {last}"
        )
    begun = calls.told.index(run.run_id)
    while begun and calls.told[begun - 1] is None:
        begun -= 1  # one that died may have begun it
    due_ms = min(calls.asked[last][1] + PERIOD_MS, calls.asked[begun][1] + MOST_MS)
    if run.created_at_ms < due_ms - APART_MS:
        raise Violation(f"run {run.run_id} of calls {calls.key} started before things were quiet")
    sim.met["a debounced run"] += 1


def _number(record: RunRecord) -> int:
    """The number in its input."""
    found = json.loads(record.input.text or "{}").get("n")
    return found if isinstance(found, int) else 0
