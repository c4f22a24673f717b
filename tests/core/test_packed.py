"""An output is stored beside what the record holds already, and comes back as it was; rows of before are read as ever."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.records import T0, plan, record, task

from headrace.core.changes import Item
from headrace.core.run.message import TaskMessage, riders
from headrace.core.run.record import Payload, Place, RunRecord, TaskRow, TaskStatus
from headrace.core.run.stored.packed import pack
from headrace.core.run.stored.record import decode_record, encode_record
from headrace.core.run.stored.rows import decode_row, encode_row, is_packed
from headrace.core.sizes import item_bytes

DIAMOND = plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), task("alone"))
DONE = TaskRow(
    status=TaskStatus.COMPLETED, owner="sCrEt_7x", queued_at_ms=T0, started_at_ms=T0, finished_at_ms=T0
)


def order(step: str, total: float = 149.5) -> str:
    """An order as tasks pass it on."""
    lines = [
        {"sku": "A-07919", "qty": 1, "unit_price": 19.9},
        {"sku": "A-15838", "qty": 2, "unit_price": total},
    ]
    return json.dumps({"order_id": "0b8f4c1e-5d27", "status": step, "customer": "C-10482", "lines": lines})


def committed(run: RunRecord, name: str, text: str) -> RunRecord:
    """The run after a task's commit, its output packed where that saves enough."""
    packed = pack(run.plan, name, run.input, run.tasks, text, stored_bytes=len(text))
    return run.with_row(name, replace(DONE, output=Payload(place=Place.RECORD, text=text, packed=packed)))


def read(run: RunRecord) -> tuple[Item, RunRecord]:
    item = encode_record(run)
    return item, decode_record(run.run_id, item)


def outputs(run: RunRecord) -> dict[str, str | None]:
    return {name: row.output.text for name, row in run.tasks.items()}


def test_an_output_like_its_parents_takes_a_fraction() -> None:
    run = replace(record(DIAMOND), input=Payload.inline(order("new")))
    for name in "abcd":
        run = committed(run, name, order(f"after {name}", 20.0 + ord(name)))
    item, found = read(run)
    assert all(is_packed(row) for row in item["tasks"].values())  # type: ignore[union-attr]
    assert outputs(found) == outputs(run)
    plain = replace(
        run, tasks={name: replace(DONE, output=Payload.inline(each)) for name, each in outputs(run).items()}
    )
    assert item_bytes({"tasks": item["tasks"]}) * 3 < item_bytes({"tasks": encode_record(plain)["tasks"]})


def test_what_is_read_is_written_without_a_dictionary() -> None:
    """A replay changes what precedes an output, and writes all rows anew."""
    run = committed(replace(record(DIAMOND), input=Payload.inline(order("new"))), "a", order("after a"))
    _, found = read(run)
    again, _ = read(replace(found, input=Payload()))
    assert not is_packed(again["tasks"]["0"])  # type: ignore[index,call-overload]
    assert outputs(decode_record(run.run_id, again)) == outputs(run)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a", '{"n":1}'),
        ("alone", order("first")),
        ("b", json.dumps({"noise": "q7Zp" + "".join(map(chr, range(40, 126)))})),
    ],
    ids=["short", "nothing precedes it", "nothing in common"],
)
def test_an_output_is_left_as_it_is_where_that_saves_little(name: str, text: str) -> None:
    run = committed(record(DIAMOND), "a", '{"n":1}')
    assert pack(run.plan, name, run.input, run.tasks, text, stored_bytes=len(text)) is None


def test_a_branch_beside_it_is_no_part_of_the_dictionary() -> None:
    """It may commit at the same time: only ancestors are settled for every reader."""
    with_b = committed(committed(record(DIAMOND), "a", order("after a")), "b", order("after b", 77.125))
    both = committed(with_b, "c", order("after c"))
    alone = committed(committed(record(DIAMOND), "a", order("after a")), "c", order("after c"))
    assert both.tasks["c"].output.packed == alone.tasks["c"].output.packed


def test_the_latest_of_a_long_dictionary_count() -> None:
    run = replace(record(DIAMOND), input=Payload.inline(Random(3).randbytes(4_000).hex()))
    run = committed(run, "a", order("after a"))
    packed = pack(run.plan, "b", run.input, run.tasks, order("after b"), stored_bytes=200)
    assert packed is not None
    assert len(packed) < 40


TEXTS = st.dictionaries(st.text(max_size=12), st.one_of(st.integers(), st.text(max_size=120)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(input=TEXTS, first=TEXTS, second=TEXTS, times=st.integers(1, 30))
def test_any_outputs_come_back(
    input: dict[str, object], first: dict[str, object], second: dict[str, object], times: int
) -> None:
    run = replace(record(DIAMOND), input=Payload.inline(json.dumps(input, ensure_ascii=False) * times))
    for name, value in zip(
        "abcd", (first, {**first, **second}, second, {**second, "of": first}), strict=True
    ):
        run = committed(run, name, json.dumps(value, ensure_ascii=False) * times)
    assert outputs(read(run)[1]) == outputs(run)


def test_rows_of_before_are_read() -> None:
    old = 'C3m;ms;-u;t_7x{"v":"load_invoices/1","r":2}:{"n":1}'
    found = decode_row(old, created_at_ms=T0)
    assert (found.via, found.retry_count, found.output.text) == ("load_invoices/1", 2, '{"n":1}')


def test_a_row_names_its_message_by_number() -> None:
    stored = encode_row(replace(DONE, via="12.3"), created_at_ms=T0)
    assert stored == "C0;0;0;t_7x;;12.3"
    assert decode_row(stored, created_at_ms=T0).via == "12.3"


@pytest.mark.parametrize("via", ["0.1", "a/1"], ids=["as now", "as before"])
def test_a_message_answers_for_what_rode_on_it(via: str) -> None:
    run = record(DIAMOND, a=DONE, b=replace(DONE, via=via), c=replace(DONE, via="0.2"))
    message = TaskMessage(run_id=run.run_id, task="a", number=0, ticket=1, queued_at_ms=T0, start_by_ms=T0)
    assert riders(run, message) == ["b"]
