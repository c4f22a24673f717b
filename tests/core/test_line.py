"""The line at a limit: who stands where, what a note on a waiter means, and which labels meet what a run requires."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.gates import single
from support.records import T0, record

from headrace.core.changes import Applied
from headrace.core.labels import (
    DesiredWorkerLabel,
    WorkerLabelComparator,
    decode_required,
    encode_required,
    meets,
)
from headrace.core.run.record import TaskRow, TaskStatus
from headrace.core.table import gate_key, waiter_key
from headrace.core.waits.line import (
    Waiter,
    decode_waiter,
    mark,
    place_of,
    put_waiter,
    unlisted,
    unwait,
    woken,
)
from headrace.memory.store import MemoryStore

GATE = "gate#g#x"
PARKED = TaskRow(status=TaskStatus.PARKED, ticket=2, queued_at_ms=T0)
RUN = record(single("solo"))


def waiter(**options: object) -> Waiter:
    place = place_of(RUN, "solo", PARKED)
    made = Waiter(
        gate=GATE,
        sk=place,
        run_id="r1",
        task="solo",
        number=0,
        ticket=2,
        worker="default",
        queued_at_ms=T0,
        start_by_ms=T0 + 9,
        expires_at_s=9,
    )
    return replace(made, **options)  # type: ignore[arg-type]  # Waiter's fields


def found(store: MemoryStore) -> Waiter | None:
    item = store.get(waiter_key(GATE, waiter().sk))
    return decode_waiter(item) if item is not None else None


def test_retries_come_first_then_priority_then_age_then_the_order_of_a_call() -> None:
    def place(name: str, *, priority: int = 1, row: TaskRow = PARKED, order: int = 0) -> str:
        run = replace(RUN, run_id=name, priority=priority, routing=replace(RUN.routing, order=order))
        return place_of(run, "solo", row)

    line = [
        place("retried", row=replace(PARKED, app_retry_count=1, queued_at_ms=T0 + 99)),
        place("high", priority=3, row=replace(PARKED, queued_at_ms=T0 + 50)),
        place("old"),
        place("second of a call", order=1),
        place("young", row=replace(PARKED, queued_at_ms=T0 + 1)),
    ]
    assert sorted(line) == line


@pytest.mark.parametrize("more", [{}, {"cost": 3, "required_labels": "[]", "group": "k"}])
def test_a_waiter_comes_back_as_it_was(more: dict[str, object]) -> None:
    store = MemoryStore()
    store.write(put_waiter(waiter(**more), expires_at_s=9))
    assert found(store) == waiter(**more)
    assert waiter().member == "r1/solo"
    assert waiter().name == (GATE, waiter().sk, 2)


def test_a_note_stays_when_the_same_ticket_lines_up_again_and_goes_with_a_later_one() -> None:
    store = MemoryStore()
    store.write(put_waiter(waiter(), expires_at_s=9))
    note = woken(waiter(), by="m", queued_ms=4, now_ms=T0 + 5)
    assert isinstance(store.write(note), Applied)
    assert not isinstance(store.write(note), Applied), "of two that wake it one sends"
    noted = waiter(woken_at_ms=T0 + 5, woken_by="m", note_queued_ms=4)
    assert not isinstance(store.write(put_waiter(waiter(), expires_at_s=9)), Applied)
    assert found(store) == noted
    assert isinstance(store.write(woken(noted, by="n", queued_ms=0, now_ms=T0 + 9)), Applied)
    again = found(store)
    assert again is not None
    assert (again.repeats, again.woken_by) == (1, "n")
    store.write(put_waiter(waiter(ticket=3), expires_at_s=9))
    assert found(store) == waiter(ticket=3)


@pytest.mark.parametrize(("ticket", "left"), [(1, False), (2, True), (3, True)])
def test_a_ticket_leaves_the_line_unless_a_later_one_stands_there(ticket: int, left: bool) -> None:
    store = MemoryStore()
    store.write(put_waiter(waiter(), expires_at_s=9))
    store.write(unwait(GATE, waiter().sk, ticket))
    assert (found(store) is None) is left


def test_a_limit_leaves_the_index_only_while_no_task_waits() -> None:
    store = MemoryStore()
    store.write(mark(GATE, "m", limit=3, expires_at_s=9))
    item = store.get(gate_key(GATE))
    assert item is not None
    assert (item["n"], item["lsk"]) == (3, GATE)
    assert not isinstance(store.write(unlisted(GATE)), Applied)


# ---------------------------------------------------------------- labels

C = WorkerLabelComparator


@pytest.mark.parametrize(
    ("comparator", "wanted", "label", "expected"),
    [
        (C.EQUAL, "a", "a", True),
        (C.EQUAL, "a", None, False),
        (C.NOT_EQUAL, "a", "b", True),
        (C.NOT_EQUAL, "a", None, True),
        (C.GREATER_THAN, 8, 9, True),
        (C.GREATER_THAN, 8, 8, False),
        (C.GREATER_THAN_OR_EQUAL, 8, 8, True),
        (C.LESS_THAN, 8, 7, True),
        (C.LESS_THAN, 8, 8, False),
        (C.LESS_THAN_OR_EQUAL, 8, 8, True),
        (C.LESS_THAN_OR_EQUAL, 8, 9, False),
        (C.GREATER_THAN, 8, "9", False),
        (C.GREATER_THAN, "8", 9, False),
        (C.LESS_THAN, 8, None, False),
    ],
)
def test_whether_a_label_meets_what_is_required(
    comparator: WorkerLabelComparator, wanted: str | int, label: str | int | None, expected: bool
) -> None:
    required = decode_required(encode_required([("memory", comparator, wanted)]))
    assert meets(required, {} if label is None else {"memory": label}) is expected


def test_all_labels_are_to_be_met_and_errors_write_them_as_comparisons() -> None:
    required = [("a", C.EQUAL, 1), ("b", C.EQUAL, 2)]
    assert meets(required, {"a": 1, "b": 2})
    assert not meets(required, {"a": 1})
    assert str(DesiredWorkerLabel(key="memory", value=8, comparator=C.GREATER_THAN)) == "memory>8"
