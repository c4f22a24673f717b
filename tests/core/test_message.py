"""Messages: each kind there and back, and bodies that are none."""

from __future__ import annotations

import json

import pytest
from support.lives import born
from support.records import T0, plan, task

from headrace.core.run.generation import Generation
from headrace.core.run.message import (
    BadMessage,
    BatchMessage,
    BulkMessage,
    Conditions,
    FireMessage,
    FiringKind,
    Message,
    RefillMessage,
    TaskMessage,
    TimersMessage,
    decode_message,
    encode_batch,
    encode_bulk,
    encode_firing,
    encode_message,
    encode_refill,
    encode_timers,
)
from headrace.core.run.plans.known import UnknownPlan, remember_plan
from headrace.core.run.record import Payload
from headrace.core.run.reset import ReplayOrder

FLOW = plan(task("a"), task("b", "a"))
remember_plan(FLOW)
PLAIN = TaskMessage(run_id="r1", task="a", number=0, queued_at_ms=T0, start_by_ms=T0 + 9)
REPLAY = ReplayOrder(generation=Generation(number=2, at_ms=T0, id="g"), after="1.5.f", tasks=("a",))

TASKS = {
    "a plain one": PLAIN,
    "of a later ticket": TaskMessage(
        run_id="r1", task="b", number=1, ticket=3, queued_at_ms=T0, start_by_ms=T0 + 9
    ),
    "a wake-up": TaskMessage(
        run_id="r1",
        task="a",
        number=0,
        queued_at_ms=T0,
        start_by_ms=T0,
        place=("gate#g", "wait#1"),
        required_labels='[["gpu",0,1]]',
    ),
    "of a suspended task": TaskMessage(
        run_id="r1", task="a", number=0, queued_at_ms=T0, start_by_ms=T0, resumes=True, restored=True
    ),
    "of a batch task": TaskMessage(
        run_id="r1", task="a", number=0, queued_at_ms=T0, start_by_ms=T0, batched=True
    ),
    "of a task that waits": TaskMessage(
        run_id="r1", task="a", number=0, queued_at_ms=T0, start_by_ms=T0, conditions=Conditions.ARM
    ),
    "of a replay": TaskMessage(
        run_id="r1", task="a", number=0, queued_at_ms=T0, start_by_ms=T0, replay=REPLAY
    ),
    "a start": TaskMessage(
        run_id="r1",
        task="a",
        number=0,
        queued_at_ms=T0,
        start_by_ms=T0,
        record=born(FLOW, input={"n": 1}),
        input='{"n":1}',
    ),
}


@pytest.mark.parametrize("message", TASKS.values(), ids=TASKS.keys())
def test_a_task_s_message_comes_back(message: TaskMessage) -> None:
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (encode_refill(refill := RefillMessage(gate="rate#k", at_ms=T0, worker="w")), refill),
        (encode_batch(batch := BatchMessage(line="batch#l", number=4)), batch),
        (encode_timers(timers := TimersMessage(minute=7, shard=1)), timers),
        (encode_bulk(bulk := BulkMessage(id="b1", turn=2)), bulk),
        (encode_firing(firing := FireMessage(kind=FiringKind.CRON, id="c1", due_ms=T0)), firing),
    ],
    ids=["refill", "batch", "timers", "bulk", "firing"],
)
def test_a_message_of_another_kind_comes_back(body: str, message: Message) -> None:
    assert decode_message(body) == message


def test_the_account_of_a_message_names_it() -> None:
    accounts = {
        PLAIN.account,
        TASKS["of a later ticket"].account,
        RefillMessage(gate="g", at_ms=1, worker="w").account,
        BatchMessage(line="g", number=1).account,
    }
    assert accounts == {"r1/a/1", "r1/b/3", "g@1"}


OURS = json.loads(encode_message(PLAIN))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "the body is not JSON"),
        ("[" * 100_000, "the body is not JSON"),
        ("[]", "the body is a JSON list, not an object"),
        ("{}", "KeyError: 'run'"),
        (json.dumps({**OURS, "run": ""}), "`run` and `task` must be non-empty strings"),
        (json.dumps({**OURS, "task": 7}), "`run` and `task` must be non-empty strings"),
        (json.dumps({**OURS, "ticket": "first"}), "ValueError"),
        (json.dumps({**OURS, "conditions": "never"}), "'never' is not a valid Conditions"),
        (json.dumps({**OURS, "start": {}}), "KeyError: 'ph'"),
        (json.dumps({**OURS, "replay": {}}), "KeyError: 'to'"),
        ('{"batch":"l","number":null}', "TypeError"),
        ('{"bulk":"","turn":1}', "`id` must be a non-empty string"),
        ('{"fire":"never","id":"c","due":1}', "'never' is not a valid FiringKind"),
        ('{"timers":1e999,"shard":0}', "OverflowError"),
    ],
)
def test_a_body_that_is_no_message(body: str, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode_message(body)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_start_under_a_plan_that_is_not_known_here_names_it() -> None:
    with pytest.raises(UnknownPlan, match="0000000000000000"):
        decode_message(json.dumps({**OURS, "start": {"ph": "0" * 16}}))


def test_an_order_to_replay_comes_back_with_another_input() -> None:
    order = ReplayOrder(
        generation=Generation(number=1, at_ms=T0, id="g.with.dots"),
        after=None,
        input=Payload.inline('{"n":2}'),
        logs={"a": "log"},
        workers={"b": "gpu"},
    )
    message = TaskMessage(run_id="r1", task="a", number=0, queued_at_ms=T0, start_by_ms=T0, replay=order)
    assert decode_message(encode_message(message)) == message
