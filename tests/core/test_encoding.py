"""How a run's record is stored: what it weighs, and that it comes back as it was."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random

import pytest
from support.pace import pace_of_work
from support.records import T0, plan, record, task

from headrace.core.points import AtConcurrency, AtOperations, AtPause
from headrace.core.run.derived.graph import states
from headrace.core.run.derived.progress import finished, made_ready_by, ready
from headrace.core.run.owed import owed_after
from headrace.core.run.plans.plan import ParentLeaf, RunPlan, TaskKind, TaskPlan
from headrace.core.run.record import ErrorInfo, Payload, Place, RunRecord, TaskRow, TaskStatus
from headrace.core.run.stored.record import encode_record, record_of
from headrace.core.run.stored.rows import decode_row, encode_row, marked
from headrace.core.run.stored.texts import unzipped, zipped
from headrace.core.sizes import item_bytes, value_bytes

DONE = TaskRow(
    status=TaskStatus.COMPLETED,
    owner="sCrEt_7x",
    queued_at_ms=T0 + 100,
    started_at_ms=T0 + 130,
    finished_at_ms=T0 + 950,
)
NOISE = Random(7).randbytes(400).hex()

ROWS: dict[str, TaskRow] = {
    "plain": DONE,
    "a small output": replace(DONE, output=Payload.inline('{"n":1,"k":"{:;"}')),
    "an empty output": replace(DONE, output=Payload.inline("")),
    "an output elsewhere": replace(DONE, output=Payload(place=Place.ITEM)),
    "an output in S3": replace(DONE, output=Payload(place=Place.BLOB)),
    "a long output": replace(DONE, output=Payload.inline('{"text":"' + "long " * 200 + '"}')),
    "a long output that is noise": replace(DONE, output=Payload.inline(f'"{NOISE}"')),
    "conditions": replace(DONE, met=(1, 3), broken={2: "no such {key}: x"}, output=Payload.inline("{}")),
    "retried": replace(DONE, ticket=4, retry_count=3, app_retry_count=2, takeovers=1, via="top/2"),
    "an error": replace(
        DONE,
        status=TaskStatus.FAILED,
        error=ErrorInfo(type="ValueError", message="no: {}", trace="x\n" * 400),
    ),
    "never ran": TaskRow(
        status=TaskStatus.CANCELLED,
        finished_at_ms=T0 + 5,
        waits_at=AtConcurrency("pay/0", "bob"),
        error=ErrorInfo(type="CONCURRENCY", message="full"),
    ),
    "a clock behind": replace(DONE, started_at_ms=T0 - 40, queued_at_ms=T0 - 50, finished_at_ms=T0 - 45),
    "skipped": TaskRow(status=TaskStatus.SKIPPED, owner="abcdefgh", finished_at_ms=T0),
    "an odd owner": replace(DONE, owner="a:{;b"),
    "running": TaskRow(
        status=TaskStatus.RUNNING,
        owner="sCrEt_7x",
        lease_until_ms=T0 + 9,
        queued_at_ms=T0,
        started_at_ms=T0 + 1,
    ),
    "parked": TaskRow(
        status=TaskStatus.PARKED,
        ticket=3,
        queued_at_ms=T0,
        waits_at=AtPause("pay"),
        lined_up=(AtPause("pay"),),
    ),
    "suspended": TaskRow(
        status=TaskStatus.SUSPENDED, ticket=2, queued_at_ms=T0, waits_at=AtOperations(), started=True
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_comes_back_as_it_was(row: TaskRow) -> None:
    found = decode_row(encode_row(row, created_at_ms=T0), created_at_ms=T0)
    owner = marked(row.owner) or None if row.settled else row.owner
    assert found == replace(row, owner=owner)


def test_a_settled_row_is_some_twenty_bytes() -> None:
    stored = encode_row(DONE, created_at_ms=T0)
    assert isinstance(stored, str)
    assert value_bytes(stored) <= 16
    assert stored == "C3m;ms;-u;t_7x"


@pytest.mark.parametrize("name", ["a long output", "an error"])
def test_long_texts_are_compressed(name: str) -> None:
    stored = encode_row(ROWS[name], created_at_ms=T0)
    assert isinstance(stored, list)
    assert value_bytes(stored) < 200


@pytest.mark.parametrize("text", ["", "short", "é" * 400, "{}" * 5_000, NOISE])
def test_a_text_is_compressed_where_that_is_smaller(text: str) -> None:
    stored = zipped(text)
    assert unzipped(stored) == text
    size = len(stored) if isinstance(stored, bytes) else len(stored.encode())
    assert size <= len(text.encode())


def test_the_weight_of_a_record_is_about_its_items() -> None:
    names = [f"{letter}_task_of_a_run" for letter in "abcdefghij"]
    flow = plan(*(task(name) for name in names), workflow="quarterly_report")
    rows = dict.fromkeys(names[:6], replace(DONE, output=Payload.inline('{"n":1}')))
    full = record(flow, **rows, g_task_of_a_run=ROWS["running"], h_task_of_a_run=ROWS["a long output"])
    item = {**encode_record(full), "pk": f"run#{full.run_id}", "sk": "run"}
    weight, found = item_bytes(item), record_of(item).weight
    assert abs(found - weight) < 100, (found, weight)


# ---------------------------------------------------------------- once a record


def fan(width: int) -> RunRecord:
    """A root that has just ended, and its children."""
    children = tuple(TaskPlan(name=f"child_{number}", parents=("root",)) for number in range(width))
    flow = RunPlan(workflow="fan", tasks=(TaskPlan(name="root"), *children))
    return record(flow, root=DONE)


@pytest.mark.parametrize(("width", "most_ms"), [(100, 8), (800, 30)])
def test_what_a_wide_fan_out_owes_is_linear(width: int, most_ms: int) -> None:
    """Doubling the children doubles the time. It once took 4.2 s for 800: every child looked at all the others."""
    owed_after(fan(10), "root")
    spent: list[float] = []
    for _ in range(3):
        run = fan(width)
        begun = time.process_time()
        assert len(owed_after(run, "root")) == width + 1
        spent.append((time.process_time() - begun) * 1000)
    assert min(spent) < most_ms * pace_of_work()


SKIPPING = plan(
    task("a"),
    task("b", "a", skip_if=((ParentLeaf(number=1, parent="a", expression="x"),),)),
    task("c", "b", wait_for=()),
    task("e"),
    task("d", "b", "e"),
    task("oops", kind=TaskKind.ON_FAILURE),
)


def made_ready_by_comparison(run: RunRecord, name: str) -> set[str]:
    """The definition: ready now, and not if the task still ran."""
    before = ready(run.with_row(name, TaskRow(status=TaskStatus.RUNNING)))
    return {each for each in ready(run) if each not in before}


ENDS = [
    {"a": DONE},
    {"a": replace(DONE, met=(1,))},
    {"a": DONE, "e": DONE},
    {"a": replace(DONE, met=(1,)), "e": DONE},
    {"a": DONE, "b": DONE},
    {"a": DONE, "b": DONE, "e": DONE},
    {"a": DONE, "b": DONE, "c": DONE, "e": DONE},
    {"a": replace(DONE, status=TaskStatus.FAILED), "e": DONE},
    {"a": DONE, "e": replace(DONE, status=TaskStatus.FAILED), "b": DONE, "c": DONE},
    {"a": replace(DONE, status=TaskStatus.SKIPPED), "e": DONE},
]


@pytest.mark.parametrize("rows", ENDS)
def test_what_a_task_made_ready_is_what_was_not_ready_before(rows: dict[str, TaskRow]) -> None:
    run = record(SKIPPING, **rows)
    for name in rows:
        assert set(made_ready_by(run, name)) == made_ready_by_comparison(run, name), name


def test_the_states_of_a_record_are_computed_once() -> None:
    run = fan(3)
    assert states(run) is states(run)
    later = run.with_row("child_0", DONE)
    assert states(later)["child_0"].settled
    assert not states(run)["child_0"].settled
    assert not finished(later)
