"""Plans, messages, backoff and sizes as tables."""

from __future__ import annotations

import json

import pytest
from support.records import T0, plan, record, task

from headrace.core.changes import Item
from headrace.core.run.attempts.backoff import GiveUp, RetryIn, decide_retry
from headrace.core.run.message import BadMessage, TaskMessage, decode_message, encode_message
from headrace.core.run.plans.encoding import decode_plan, encode_plan, plan_hash
from headrace.core.run.plans.plan import GatePlan, ParentLeaf, RatePlan, RunPlan, TaskKind, TaskPlan
from headrace.core.sizes import item_bytes


@pytest.mark.parametrize(
    ("options", "used", "retryable", "expected"),
    [
        ({}, 0, True, GiveUp()),
        ({"retries": 2}, 0, True, RetryIn(0)),
        ({"retries": 2}, 2, True, GiveUp()),
        ({"retries": 2}, 0, False, GiveUp()),
        ({"retries": 9, "backoff_factor": 2.0, "backoff_max_s": 10}, 0, True, RetryIn(2_000)),
        ({"retries": 9, "backoff_factor": 2.0, "backoff_max_s": 10}, 2, True, RetryIn(8_000)),
        ({"retries": 9, "backoff_factor": 2.0, "backoff_max_s": 10}, 3, True, RetryIn(10_000)),
        ({"retries": 9999, "backoff_factor": 10.0}, 999, True, RetryIn(86_400_000)),
    ],
)
def test_backoff_is_hatchets(
    options: dict[str, object], used: int, retryable: bool, expected: object
) -> None:
    assert decide_retry(task("t", **options), used, retryable=retryable) == expected


def test_a_plan_survives_its_encoding() -> None:
    leaf = ParentLeaf(number=4, parent="a", expression="output.x")
    full = RunPlan(
        workflow="flow",
        version="v",
        gates=(GatePlan(name="g", expression="input.k", max_runs=3),),
        tasks=(
            TaskPlan(name="a", worker="gpu", retries=3, backoff_factor=1.5, isolated=True, slot_cost=2),
            TaskPlan(
                name="b",
                parents=("a",),
                skip_if=((leaf,),),
                gates=(GatePlan(name="h", expression="'c'", max_runs=1),),
                rates=(RatePlan(key="k", dynamic=True, limit="10"),),
            ),
            TaskPlan(name="b-on-failure", kind=TaskKind.ON_FAILURE),
        ),
    )
    assert decode_plan("flow", "v", encode_plan(full)) == full


def test_a_plan_with_defaults_is_small() -> None:
    assert len(encode_plan(plan(task("simple")))) < 30


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON list"),
        ("{}", "KeyError"),
        ('{"run":"","task":"a","ticket":1,"queued":1,"by":2}', "non-empty"),
        ('{"run":"r","task":"a","n":0,"ticket":"x","queued":1,"by":2}', "ValueError"),
        ('{"run":"r","task":"a","n":0,"ticket":1,"queued":1,"by":2,"start":{"wf":1}}', "no Headrace message"),
        ('{"run":"r","task":"a","n":0,"ticket":1,"queued":1,"by":2,"start":[]}', "no Headrace message"),
    ],
)
def test_a_bad_message_says_why(body: str, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        decode_message(body)


def test_a_start_message_carries_the_record() -> None:
    sent = TaskMessage(
        run_id="r1",
        task="a",
        number=0,
        queued_at_ms=T0,
        start_by_ms=T0 + 1,
        record=record(plan(task("a"))),
        input="{}",
    )
    assert decode_message(encode_message(sent)) == sent
    assert json.loads(encode_message(sent))["start"]["ph"] == plan_hash(plan(task("a")))


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"a": "b"}, 2),
        ({"name": "é"}, 6),
        ({"n": 12345}, 5),
        ({"m": {"k": "v"}}, 7),
        ({"l": ["ab", True]}, 9),
        ({"s": frozenset({1, 2})}, 5),
    ],
)
def test_sizes_follow_dynamodbs_rules(item: Item, size: int) -> None:
    assert item_bytes(item) == size
