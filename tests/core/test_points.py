"""What tasks wait for, and how it is spelt."""

from __future__ import annotations

import pytest

from headrace.core.points import (
    AtConcurrency,
    AtLabels,
    AtOperations,
    AtPause,
    AtRateLimit,
    AtSlots,
    WaitPoint,
    decode_point,
    encode_point,
    limit_name,
    point_at,
)
from headrace.core.run.routing import NotEvaluated, RateUnits, Routing, decode_routing, encode_routing

SPELT: list[tuple[WaitPoint, str]] = [
    (AtConcurrency("shop:pay/0", "bob"), "gate#shop:pay/0#bob"),
    (AtConcurrency("shop/0", "a#b:c"), "gate#shop/0#a#b:c"),
    (AtConcurrency("shop/0", ""), "gate#shop/0#"),
    (AtSlots("gpu"), "gate#worker:gpu#"),
    (AtRateLimit("api#1"), "rate#api#1"),
    (AtPause("shop"), "pause#shop"),
    (AtLabels("gpu"), "labels#gpu"),
    (AtOperations(), "durable"),
]


@pytest.mark.parametrize(("point", "text"), SPELT)
def test_a_point_and_its_spelling(point: WaitPoint, text: str) -> None:
    assert encode_point(point) == text
    assert decode_point(text) == point


@pytest.mark.parametrize("text", ["", "run#1", "gate", "join#1"])
def test_tasks_wait_for_nothing_at_other_partitions(text: str) -> None:
    with pytest.raises(ValueError, match="not a gate"):
        point_at(text)


def test_the_limit_of_slots_is_named_for_the_worker() -> None:
    assert limit_name(AtSlots("gpu")) == "worker:gpu"
    assert limit_name(AtConcurrency("shop/0", "bob")) == "shop/0"


@pytest.mark.parametrize(
    "routing",
    [
        Routing(),
        Routing(workers={"a": "gpu"}, required_labels={"b": '[["gpu",3,2]]'}),
        Routing(
            keys=("bob", NotEvaluated("no such key")), order=7, held_key="idem", filter_payload='{"a":1}'
        ),
        Routing(
            rates=(RateUnits(key="api", units=2), RateUnits(key="x", units=1, limit=9), NotEvaluated("why"))
        ),
    ],
)
def test_routing_comes_back_as_it_was(routing: Routing) -> None:
    assert decode_routing(encode_routing(routing)) == routing
