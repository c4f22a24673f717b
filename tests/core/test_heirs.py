"""Which waiter a place is handed over to, and how a record names it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.changes import Applied, Refused
from headrace.core.points import AtConcurrency
from headrace.core.run.plans.plan import GateStrategy
from headrace.core.table import gate_key
from headrace.core.waits.concurrency import enter, hand_over
from headrace.core.waits.heirs import Heir, decode_heir, encode_heir, may_be_handed, next_heir
from headrace.core.waits.holders import state_of
from headrace.core.waits.line import Waiter, put_waiter, strike, woken
from headrace.core.waits.passes import Pass
from headrace.memory.store import MemoryStore

NOW_MS = 1_000
POINT = AtConcurrency("w:t/0", "k")
OLD = Pass(point=POINT, member="old/t", ticket=1, limit=2)
NEXT = Waiter(
    gate=OLD.gate,
    sk="wait#3#0000000000001.000000#new#t",
    run_id="new",
    task="t",
    number=0,
    ticket=2,
    worker="default",
    queued_at_ms=1,
    start_by_ms=NOW_MS,
    expires_at_s=9,
)


def test_a_record_names_an_heir_and_is_read_back() -> None:
    named = decode_heir(encode_heir(replace(NEXT, task="a/b#c")))
    assert named == Heir(ticket=2, run_id="new", task="a/b#c")
    with pytest.raises(ValueError, match="unpack"):
        decode_heir("2/new")


def test_the_first_that_no_wake_up_is_on_its_way_to_is_the_heir_if_one_place_will_do() -> None:
    told, later = replace(NEXT, woken_at_ms=5), replace(NEXT, run_id="later")
    assert next_heir([told, NEXT, later], NOW_MS) == NEXT
    assert next_heir([replace(NEXT, cost=2), later], NOW_MS) is None, "a heavy one is not overtaken"
    assert next_heir([NEXT, later], NOW_MS + 1) is None, "it waited too long, and is to be told so"
    assert next_heir([told], NOW_MS) is None


@pytest.mark.parametrize(
    "other",
    [
        {"cost": 2},
        {"of_run": True},
        {"strategy": GateStrategy.CANCEL_IN_PROGRESS},
        {"strategy": GateStrategy.CANCEL_NEWEST},
    ],
)
def test_only_a_single_place_of_a_single_ticket_is_handed_over(other: dict[str, object]) -> None:
    assert may_be_handed(OLD)
    assert not may_be_handed(replace(OLD, **other))  # type: ignore[arg-type]  # as the parameters say


def _with_holder(limit: int = 2) -> MemoryStore:
    store = MemoryStore()
    of = replace(OLD, limit=limit)
    assert isinstance(store.write(enter(of, 0, waited=False, now_ms=1, expires_at_s=1)), Applied)
    return store


def test_the_heir_is_in_the_place_of_the_ticket_that_ended() -> None:
    store = _with_holder()
    assert isinstance(store.write(hand_over(OLD, 0, NEXT, now_ms=NOW_MS)), Applied)
    item = store.get(gate_key(OLD.gate))
    state = state_of(item)
    assert [(held.member, held.ticket) for held in state.holders.values()] == [("new/t", 2)]
    assert state.taken == 1
    assert (item or {})["expires_at"] == 9, "a gate that is never empty is kept"
    assert isinstance(store.write(hand_over(OLD, 0, NEXT, now_ms=NOW_MS)), Refused), "twice hands over once"


@pytest.mark.parametrize(
    "why", ["it is not in", "a later ticket is in", "the limit is another", "the heir is in"]
)
def test_what_is_not_there_to_give_is_not_handed_over(why: str) -> None:
    store = MemoryStore() if why == "it is not in" else _with_holder()
    of = OLD
    if why == "a later ticket is in":
        of = replace(OLD, ticket=0)
    if why == "the limit is another":
        of = replace(OLD, limit=3)
    if why == "the heir is in":
        theirs = replace(OLD, member="new/t", ticket=2)
        store.write(enter(theirs, 0, waited=True, now_ms=1, expires_at_s=1))
    before = state_of(store.get(gate_key(OLD.gate)))
    assert isinstance(store.write(hand_over(of, 0, NEXT, now_ms=NOW_MS)), Refused)
    assert state_of(store.get(gate_key(OLD.gate))) == before


def test_an_heir_is_struck_once_and_not_after_another_has_woken_it() -> None:
    store = MemoryStore()
    store.write(put_waiter(NEXT, expires_at_s=9))
    store.write(woken(NEXT, by="m", queued_ms=0, now_ms=NOW_MS))
    refused = store.write(strike(NEXT))
    assert isinstance(refused, Refused)
    assert refused.item is not None
    store = MemoryStore()
    store.write(put_waiter(NEXT, expires_at_s=9))
    assert isinstance(store.write(strike(NEXT)), Applied)
    assert store.write(strike(NEXT)) == Refused(None)
