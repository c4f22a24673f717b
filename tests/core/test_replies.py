"""Reply queues and idempotency keys, as writes on real items."""

from __future__ import annotations

import pytest

from headrace.core.changes import Applied, Item, Write, apply
from headrace.core.run.idempotency import IdempotencyKey, hold, hold_name, release, starts_of
from headrace.core.run.replies import (
    LEASE_MS,
    SWEPT_AFTER_MS,
    announce,
    ask,
    condemn,
    decode_reply,
    encode_reply,
    forget,
    is_dead,
    queue_named,
    renew,
)

NOW = 1_700_000_000_000


def written(write: Write, item: Item | None) -> Item | None:
    """The item after a write that takes place."""
    done = apply(write, item)
    assert isinstance(done, Applied), f"refused: {write}"
    return done.item


def refused(write: Write, item: Item | None) -> bool:
    return not isinstance(apply(write, item), Applied)


# ---------------------------------------------------------------- reply queues


def test_a_reply_names_the_run_that_is_over() -> None:
    assert decode_reply(encode_reply("r1")) == "r1"


@pytest.mark.parametrize("body", ["", "{", "[]", "7", "{}", '{"over":7}', "[" * 100_000])
def test_another_message_names_none(body: str) -> None:
    assert decode_reply(body) is None


def test_a_queue_asks_at_a_record_that_there_is() -> None:
    assert refused(ask("r1", "reply-x"), None)
    assert written(ask("r1", "reply-x"), {"pk": "run#r1", "sk": "run"}) == {
        "pk": "run#r1",
        "sk": "run",
        "rq#reply-x": 1,
    }


def test_the_name_of_a_queue_is_one_that_sqs_takes() -> None:
    assert queue_named("a_b") == "reply-a-b"


def test_a_queue_whose_process_lives_is_renewed_and_not_swept() -> None:
    item = written(announce("q", now_ms=NOW), None)
    assert item is not None
    assert not is_dead(item, now_ms=NOW + LEASE_MS + SWEPT_AFTER_MS - 1)
    assert refused(condemn("q", now_ms=NOW + LEASE_MS), item)
    later = written(renew("q", now_ms=NOW + 1_000), item)
    assert later is not None
    assert later["until_ms"] == NOW + 1_000 + LEASE_MS


def test_a_queue_whose_process_died_is_swept_and_cannot_be_renewed() -> None:
    item = written(announce("q", now_ms=NOW), None)
    assert item is not None
    late = NOW + LEASE_MS + SWEPT_AFTER_MS
    assert is_dead(item, now_ms=late)
    condemned = written(condemn("q", now_ms=late), item)
    assert refused(renew("q", now_ms=late), condemned)
    assert written(forget("q"), condemned) is None
    assert refused(renew("q", now_ms=late), None)


def test_an_item_that_says_no_time_is_left_alone() -> None:
    assert not is_dead({}, now_ms=NOW)


# ---------------------------------------------------------------- idempotency keys

KEY = IdempotencyKey(key="order-1", ttl_ms=60_000)
STARTS = [("billing", '{"run":"r1"}')]


def held(run_id: str = "r1", *, generation: int = 0) -> Item:
    item = written(hold_name("idem#n", 60_000, run_id, STARTS, now_ms=NOW, generation=generation), None)
    assert item is not None
    return item


@pytest.mark.parametrize(
    ("run_id", "at_ms", "instead_of", "taken"),
    [
        ("r2", NOW, None, False),
        ("r2", NOW + 59_999, None, False),
        ("r2", NOW + 60_000, None, True),  # it has run out
        ("r1", NOW, None, True),  # ours: the response was lost
        ("r2", NOW, "r1", True),  # its holder is over
        ("r2", NOW, "r0", False),
    ],
)
def test_a_key_that_is_held(run_id: str, at_ms: int, instead_of: str | None, taken: bool) -> None:
    write = hold_name("idem#n", 60_000, run_id, STARTS, now_ms=at_ms, instead_of=instead_of)
    assert refused(write, held()) is not taken


def test_a_key_is_held_in_the_name_of_its_workflow() -> None:
    one = hold("flow", KEY, "r1", STARTS, now_ms=NOW, due_ms=NOW + 5)
    assert one.key != hold("other", KEY, "r1", STARTS, now_ms=NOW).key
    assert (one.item["until"], one.item["due"]) == (NOW + 60_000, NOW + 5)
    assert starts_of(one.item) == STARTS


@pytest.mark.parametrize("starts", [None, "x", [7]])
def test_an_item_without_start_messages_has_none(starts: object) -> None:
    assert starts_of({"starts": starts}) == []  # type: ignore[dict-item]  # what another version may have put


@pytest.mark.parametrize(
    ("by", "generation", "given_up"),
    [("r1", 1, True), ("r1", 2, True), ("r1", 0, False), ("r2", 1, False)],
    ids=["ours", "ours, and later", "a replay has it again", "of another run"],
)
def test_giving_a_key_up(by: str, generation: int, given_up: bool) -> None:
    assert refused(release("idem#n", by, generation), held(generation=1)) is not given_up
