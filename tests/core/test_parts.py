"""Sealing a durable log: what goes into a part, when parts are merged, and what a part's item is."""

from __future__ import annotations

import pytest

from headrace.core.durable.encoding import decode_entries
from headrace.core.durable.log import Entry, Kind, Part, Tail
from headrace.core.durable.parts import LAST_TIER, PARTS_A_TIER, encode_part, sealing, text_of_part


def memo(node: int, *, order: int = 1, result: object = "x") -> Entry:
    return Entry(node=node, kind=Kind.MEMO, asked="a", order=order, result=result)  # type: ignore[arg-type]


def test_a_tail_of_open_operations_has_nothing_to_seal() -> None:
    assert sealing(Tail(entries=(memo(0, order=0),)), {}, owner="me") is None


def test_what_is_answered_goes_and_what_is_open_stays() -> None:
    made = sealing(Tail(entries=(memo(0), memo(1, order=0), memo(2))), {}, owner="me")
    assert made is not None
    assert made.part == Part(1, "me", 0)
    assert [entry.node for entry in made.entries] == [0, 2]
    assert [entry.node for entry in made.tail.entries] == [1]
    assert made.tail.parts == (made.part,)


def sealed(count: int, *, size: int = 1) -> tuple[Tail, dict[Part, tuple[Entry, ...]]]:
    """A log that was sealed `count` times, an operation each, and what is in its parts."""
    tail, known = Tail(), dict[Part, tuple[Entry, ...]]()
    for node in range(count):
        made = sealing(
            Tail(parts=tail.parts, entries=(memo(node, result="x" * size),)), known, owner=f"o{node}"
        )
        assert made is not None
        tail, known = made.tail, {**known, made.part: made.entries}
    return tail, known


@pytest.mark.parametrize(
    ("count", "tiers"),
    [
        (3, [0, 0, 0]),
        (4, [1]),
        (7, [1, 0, 0, 0]),
        (16, [2]),
        (64, [3]),
        (256, [3, 3, 3, 3]),  # the last tier is merged no further
    ],
)
def test_the_fourth_part_of_a_tier_takes_the_others_in(count: int, tiers: list[int]) -> None:
    tail, known = sealed(count)
    assert [part.tier for part in tail.parts] == tiers
    assert max(tiers) <= LAST_TIER
    assert sorted(entry.node for part in tail.parts for entry in known[part]) == list(range(count))
    assert len({part.number for part in tail.parts}) == len(tail.parts)


def test_parts_that_would_be_too_large_together_stay_apart() -> None:
    tail, _ = sealed(PARTS_A_TIER, size=60_000)
    assert [part.tier for part in tail.parts] == [0] * PARTS_A_TIER


def test_a_part_that_was_not_read_is_not_merged() -> None:
    tail, _ = sealed(3)
    made = sealing(Tail(parts=tail.parts, entries=(memo(3),)), {}, owner="me")
    assert made is not None
    assert [part.tier for part in made.tail.parts] == [0, 0, 0, 0]


@pytest.mark.parametrize("size", [1, 5_000], ids=["as text", "compressed"])
def test_a_part_comes_back_from_its_item(size: int) -> None:
    entries = (memo(0, result="y" * size), memo(1, result={"n": [1, None]}))
    item = encode_part(entries)
    assert decode_entries(text_of_part(item)) == entries
    assert len(item["body"]) < 1_000  # type: ignore[arg-type]


def test_an_item_without_a_body_is_no_part() -> None:
    with pytest.raises(ValueError, match=r"no part of a durable log: \['expires_at'\]"):
        text_of_part({"expires_at": 1})
