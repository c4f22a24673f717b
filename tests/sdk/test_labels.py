"""Which worker runs what: wishes of definitions and of runs, workers that are processes, labels that change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace import (
    Context,
    DefinitionError,
    DesiredWorkerLabel,
    EmptyModel,
    Headrace,
    NotSupportedError,
    Settings,
    WorkerLabelComparator,
)
from headrace.core.labels import decode_required, encode_required, meets
from headrace.core.run.owed import worker_of
from headrace.core.run.plans.plan import RunPlan, TaskPlan
from headrace.core.run.record import RunRecord
from headrace.core.run.routing import Routing
from headrace.core.run.stored.record import record_of
from headrace.core.table import run_key
from headrace.engine.catalog.workers import DeclaredWorker, announce, publish_workers
from headrace.engine.catalog.workflows import Published, publish_workflows
from headrace.engine.runs.deliver import deliver
from headrace.memory.wiring import connect
from headrace.options.labels import Labels, WorkerLabels, desired_labels_of, required, score
from headrace.ports import Ports
from headrace.triggers.options import TriggerWorkflowOptions
from headrace_handlers.boot import host_for
from headrace_infra.compile import compile_app

C = WorkerLabelComparator


def wish(key: str, value: str | int, *, required: bool = True, **more: Any) -> DesiredWorkerLabel:
    return DesiredWorkerLabel(key=key, value=value, required=required, **more)


def step(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"worker": ctx.worker_id}


# ---------------------------------------------------------------- wishes

COMPARED: list[tuple[C | None, str | int, str | int | None, bool]] = [
    (None, "a", "a", True),
    (C.EQUAL, 4, 4, True),
    (C.EQUAL, 4, "4", False),
    (C.EQUAL, "a", None, False),
    (C.NOT_EQUAL, "a", "b", True),
    (C.NOT_EQUAL, "a", None, True),
    (C.NOT_EQUAL, "a", "a", False),
    (C.GREATER_THAN, 4, 5, True),
    (C.GREATER_THAN, 4, 4, False),
    (C.GREATER_THAN, 4, "5", False),
    (C.GREATER_THAN_OR_EQUAL, 4, 4, True),
    (C.LESS_THAN, 4, 3, True),
    (C.LESS_THAN, 4, None, False),
    (C.LESS_THAN_OR_EQUAL, 4, 4, True),
    (C.LESS_THAN_OR_EQUAL, 4, 5, False),
]


@pytest.mark.parametrize(("comparator", "wanted", "found", "met"), COMPARED)
def test_a_wish_is_met_the_same_in_the_code_and_in_a_record(
    comparator: C | None, wanted: str | int, found: str | int | None, met: bool
) -> None:
    wishes = [wish("k", wanted, comparator=comparator)]
    labels = {} if found is None else {"k": found}
    assert (score(wishes, labels) is not None) is met
    assert meets(decode_required(encode_required(required(wishes))), labels) is met


def test_weights_add_up_and_only_required_wishes_are_carried() -> None:
    wishes = [
        wish("gpu", "a", required=False),
        wish("mem", 8, required=False, weight=7),
        wish("disk", 1, comparator=C.GREATER_THAN),
    ]
    assert score(wishes, {"gpu": "a", "mem": 8, "disk": 2}) == 207
    assert score(wishes, {"gpu": "b", "mem": 8, "disk": 1}) is None
    assert encode_required(required(wishes)) == '[["disk",2,1]]'
    assert meets((), {})


BAD_WISHES: list[tuple[Any, str]] = [
    (
        [DesiredWorkerLabel(value="a")],
        r"here holds a DesiredWorkerLabel of value 'a' without a key: give it key=",
    ),
    ([("gpu", "a")], r"here holds \('gpu', 'a'\): give DesiredWorkerLabel"),
    ({"gpu": DesiredWorkerLabel(value=1.5)}, r"here: gpu is 1\.5: give a string or a whole number"),  # type: ignore[arg-type]  # what is refused
    ([wish("gpu", "a", comparator=C.LESS_THAN)], r"here: gpu<'a' compares with a string"),
]


@pytest.mark.parametrize(("given", "message"), BAD_WISHES)
def test_required_labels_that_no_process_has(given: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        desired_labels_of(given, "here")


# ---------------------------------------------------------------- an app on ports in memory


class Fleet:
    """A task `picky` on the workers given, each with its labels."""

    def __init__(
        self,
        *workers: tuple[str, Labels],
        processes: Sequence[str] = (),
        definition: Any = None,
        **options: Any,
    ) -> None:
        self.app = Headrace(config=Settings())
        self.ports: Ports = connect()
        self.app.use(self.ports)
        self.picky = self.app.task(name="picky", desired_worker_labels=definition, **options)(step)
        for name, labels in workers:
            self.app.worker(name, labels=labels, workflows=[self.picky], process=name in processes)

    def record(self, run_id: str) -> RunRecord:
        item = self.ports.store.get(run_key(run_id))
        assert item is not None
        return record_of(item)

    def run(self, **options: Any) -> tuple[str, Routing]:
        """Where a run goes, and what its record says of that."""
        ref = self.picky.run(wait_for_result=False, **options)
        record = self.record(ref.workflow_run_id)
        worker = worker_of(record, "picky")
        assert len(self.ports.queues.receive(worker, limit=10, wait_s=0)) == 1
        return worker, record.routing


def to(worker: str) -> Routing:
    return Routing(workers={"picky": worker})


CPU, GPU = ("cpu", {"memory": 4}), ("gpu", {"memory": 32, "gpu": "yes"})

ASKED: list[tuple[dict[str, Any], str]] = [
    ({}, "cpu"),
    ({"desired_worker_labels": [wish("gpu", "yes")]}, "gpu"),
    ({"desired_worker_labels": [wish("gpu", "yes", required=False)]}, "gpu"),
    ({"desired_worker_labels": [wish("memory", 8, comparator=C.LESS_THAN)]}, "cpu"),
    ({"desired_worker_labels": [wish("gpu", "no", required=False)]}, "cpu"),
    (
        {
            "desired_worker_labels": [
                wish("memory", 8, comparator=C.GREATER_THAN),
                wish("memory", 64, comparator=C.LESS_THAN),
            ]
        },
        "gpu",
    ),
    ({"desired_worker_id": "gpu"}, "gpu"),
    ({"desired_worker_id": "cpu"}, "cpu"),
    ({"options": TriggerWorkflowOptions(desired_worker_id="gpu")}, "gpu"),
    (
        {"options": TriggerWorkflowOptions(desired_worker_label={"gpu": DesiredWorkerLabel(value="yes")})},
        "gpu",
    ),
    ({"sticky": True}, "cpu"),
]


@pytest.mark.parametrize(("asked", "worker"), ASKED)
def test_the_labels_of_a_run_choose_its_worker(asked: dict[str, Any], worker: str) -> None:
    """What the plan says already is not said again."""
    assert Fleet(CPU, GPU).run(**asked) == (worker, Routing() if worker == "cpu" else to(worker))


def test_a_run_s_wishes_replace_the_definition_s() -> None:
    fleet = Fleet(CPU, GPU, definition=[wish("gpu", "yes")])
    assert fleet.run() == ("gpu", Routing())
    assert fleet.run(desired_worker_labels=[wish("memory", 4)]) == ("cpu", to("cpu"))
    assert fleet.run(desired_worker_id="cpu") == ("cpu", to("cpu"))


def test_the_items_of_a_bulk_run_choose_for_themselves() -> None:
    fleet = Fleet(CPU, GPU)
    items = [
        fleet.picky.create_bulk_run_item(desired_worker_id="gpu"),
        fleet.picky.create_bulk_run_item(),
        fleet.picky.create_bulk_run_item(desired_worker_labels=[wish("gpu", "yes")]),
    ]
    refs = fleet.picky.run_many(items, wait_for_result=False)
    found = [worker_of(fleet.record(ref.workflow_run_id), "picky") for ref in refs]
    assert found == ["gpu", "cpu", "gpu"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"desired_worker_labels": [wish("gpu", "huge")]},
        r"task picky of workflow picky requires a worker with gpu='huge'; .*\(cpu, gpu\) none has such labels: "
        r"cpu has memory=4; gpu has memory=32, gpu='yes'",
    ),
    (
        {"desired_worker_labels": [wish("memory", 64, comparator=C.GREATER_THAN)]},
        r"requires a worker with memory>64",
    ),
    (
        {"desired_worker_id": "tpu"},
        r"workflow picky: desired_worker_id is 'tpu', which does not register it: .*\(cpu, gpu\)",
    ),
    (
        {"desired_worker_labels": [DesiredWorkerLabel(value="yes")]},
        r"workflow picky: desired_worker_labels holds a DesiredWorkerLabel of value 'yes' without a key",
    ),
]


@pytest.mark.parametrize(("asked", "message"), REFUSED)
def test_a_run_that_could_run_nowhere_is_refused_before_anything_is_sent(
    asked: dict[str, Any], message: str
) -> None:
    fleet = Fleet(CPU, GPU)
    with pytest.raises(DefinitionError, match=message):
        fleet.run(**asked)
    assert list(fleet.ports.queues.known()) == []


def test_a_function_has_no_time_for_a_long_task() -> None:
    """Of workers that register a task of an hour, the processes take it; it cannot be sent to the function."""
    fleet = Fleet(CPU, GPU, processes=["gpu"], execution_timeout=timedelta(hours=1))
    assert fleet.run() == ("gpu", Routing())
    with pytest.raises(
        DefinitionError, match=r"is 'cpu', whose function ends before .* task picky, 3600 s: choose another"
    ):
        fleet.run(desired_worker_id="cpu")


# ---------------------------------------------------------------- processes

NEEDS = [wish("model", "large")]
CARRIED = Routing(required_labels={"picky": '[["model",0,"large"]]'})


@pytest.mark.parametrize("definition", [None, NEEDS])
def test_a_wish_that_only_a_process_may_meet_waits_at_the_first(definition: Any) -> None:
    fleet = Fleet(CPU, ("one", {}), ("two", {}), processes=["one", "two"], definition=definition)
    asked: dict[str, Any] = {} if definition else {"desired_worker_labels": NEEDS}
    moved = CARRIED if definition else replace(CARRIED, workers={"picky": "one"})
    assert fleet.run(**asked) == ("one", moved)
    announce(fleet.app.engine, "one", "p1", {"model": "small"})
    announce(fleet.app.engine, "two", "p2", {"model": "large"})
    assert fleet.run(**asked) == ("two", replace(CARRIED, workers={"picky": "two"}))


def test_of_live_processes_the_best_is_chosen() -> None:
    fleet = Fleet(("one", {}), ("two", {}), processes=["one", "two"])
    for worker, memory in (("one", 4), ("two", 8), ("stranger", 16)):
        announce(fleet.app.engine, worker, "p", {"model": "large", "memory": memory})
    worker, _ = fleet.run(desired_worker_labels=[*NEEDS, wish("memory", 8, required=False)])
    assert worker == "two"


def test_one_process_of_a_worker_that_suits_is_enough() -> None:
    fleet = Fleet(("one", {}), ("two", {}), processes=["one", "two"])
    for worker, process, memory in (("one", "a", 4), ("two", "a", 8), ("two", "b", 4)):
        announce(fleet.app.engine, worker, process, {"model": "large", "memory": memory})
    announce(fleet.app.engine, "one", "b", {"model": "small", "memory": 8})
    worker, _ = fleet.run(desired_worker_labels=[*NEEDS, wish("memory", 8, required=False)])
    assert worker == "two"


def test_what_is_declared_costs_no_read() -> None:
    """The hot path: no wish of the run, and the definition's are met by what is declared."""
    fleet = Fleet(("gpu", {"model": "large"}), processes=["gpu"], definition=NEEDS)
    ports = fleet.ports
    reads: list[str] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            if name in ("get", "get_many", "query"):
                reads.append(name)
            return getattr(ports.store, name)

    store: Any = Watched()
    fleet.app.use(Ports(store=store, queues=ports.queues, clock=ports.clock, ids=ports.ids))
    fleet.picky.run(wait_for_result=False)
    reads.clear()  # the first run of a process sees that its plan is in the table
    fleet.picky.run(wait_for_result=False)
    assert reads == []
    fleet.picky.run(wait_for_result=False, desired_worker_labels=[wish("model", "huge")])
    assert reads == ["query"]
    many = [
        fleet.picky.create_bulk_run_item(desired_worker_labels=[wish("model", model)])
        for model in ("huge", "tiny", "huge")
    ]
    fleet.picky.run_many(many, wait_for_result=False)
    assert reads == ["query", "query"]


def test_a_required_label_is_refused_at_compile_time_unless_a_process_may_have_it() -> None:
    with pytest.raises(DefinitionError, match=r"requires a worker with model='large'; .*\(cpu\) none has"):
        compile_app(Fleet(CPU, definition=NEEDS).app, app_path="app:hatchet")
    template = compile_app(
        Fleet(CPU, ("two", {}), processes=["two"], definition=NEEDS).app, app_path="app:hatchet"
    )
    assert "TwoQueue" in template["Resources"]


def test_a_worker_of_processes_is_compiled_to_its_queues_alone() -> None:
    fleet = Fleet(CPU, processes=[])
    long = fleet.app.task(name="long", execution_timeout=timedelta(hours=3))(step)
    fleet.app.worker("trainer", workflows=[long], process=True, slots=2)
    template = compile_app(fleet.app, app_path="app:hatchet")
    found = template["Resources"]
    assert {name for name in found if name.startswith("Trainer")} == {
        "TrainerQueue",
        "TrainerAgeAlarm",
        "TrainerNextQueue",
        "TrainerNextAgeAlarm",
        "TrainerProcessPolicy",
    }
    queue = found["TrainerQueue"]["Properties"]
    assert (queue["VisibilityTimeout"], queue["RedrivePolicy"]["deadLetterTargetArn"]) == (
        60,
        {"Fn::GetAtt": ["DeadLettersQueue", "Arn"]},
    )
    function = found["CpuFunction"]["Properties"]
    urls = json.loads(function["Environment"]["Variables"]["HEADRACE_QUEUES"]["Fn::Sub"])
    assert urls == {
        "cpu": "${CpuQueue}",
        "trainer": "${TrainerQueue}",
        "trainer-next": "${TrainerNextQueue}",
    }
    policy = found["CpuFunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    [sends] = [each for each in policy["Statement"] if each.get("Sid") == "Sends"]
    assert {"Fn::GetAtt": ["TrainerQueue", "Arn"]} in sends["Resource"]
    assert {name for name in template["Outputs"] if name.startswith("Trainer")} == {
        "TrainerQueueUrl",
        "TrainerProcessPolicy",
    }


def test_an_app_of_processes_alone_still_has_its_clock() -> None:
    fleet = Fleet(("one", {}), processes=["one"])
    found = compile_app(fleet.app, app_path="app:hatchet", runtime="python3.12")["Resources"]
    functions = {name for name, each in found.items() if each["Type"] == "AWS::Serverless::Function"}
    assert functions == {"ClockFunction", "DeadLettersFunction"}
    assert found["ClockFunction"]["Properties"]["Runtime"] == "python3.12"


def test_a_function_outlasts_the_tasks_that_runs_may_send_to_it() -> None:
    fleet = Fleet(CPU, GPU, execution_timeout=timedelta(minutes=5))
    found = compile_app(fleet.app, app_path="app:hatchet")["Resources"]
    assert [found[name]["Properties"]["Timeout"] for name in ("CpuFunction", "GpuFunction")] == [330, 330]


def test_slots_no_longer_need_a_process() -> None:
    app = Headrace(config=Settings())
    app.worker("w", workflows=[app.task()(step)], slots=3)
    assert "WFunction" in compile_app(app, app_path="app:hatchet")["Resources"]


# ---------------------------------------------------------------- clients without the code


def test_a_client_that_knows_no_worker_asks_what_was_published() -> None:
    fleet = Fleet(CPU, GPU, ("late", {}), processes=["late"], definition=[wish("model", "large")])
    app = fleet.app
    app.worker("other", labels={"gpu": "yes", "tpu": "yes"}, workflows=[app.task(name="other")(step)])
    publish_workflows(app.engine, [fleet.picky.published()])
    publish_workers(app.engine, [worker.declared() for worker in app._fleet()], whole_of="")
    client = Headrace(config=Settings())
    client.use(fleet.ports)
    stub = client.stubs.task(name="picky")

    def run(**options: Any) -> tuple[str, Routing]:
        record = fleet.record(stub.run(wait_for_result=False, **options).workflow_run_id)
        return worker_of(record, "picky"), record.routing

    assert run() == ("late", CARRIED)
    assert run(desired_worker_labels=[wish("gpu", "yes")]) == ("gpu", to("gpu"))
    assert run(desired_worker_id="cpu") == ("cpu", to("cpu"))
    with pytest.raises(DefinitionError, match=r"desired_worker_id is 'other'.*\(cpu, gpu, late\)"):
        run(desired_worker_id="other")


def test_a_client_that_was_told_no_labels_says_so() -> None:
    client = Headrace(config=Settings())
    client.use(connect())
    plan = RunPlan(workflow="far", tasks=(TaskPlan(name="far", worker="w1"),), standalone=True)
    publish_workflows(client.engine, [Published(plan=plan)])
    stub = client.stubs.task(name="far")
    assert stub.run(wait_for_result=False, desired_worker_id="w1")
    assert stub.run(wait_for_result=False, desired_worker_labels=[wish("gpu", "yes", required=False)])
    with pytest.raises(
        DefinitionError,
        match=r"task far of workflow far requires a worker with gpu='yes', but this process does not know the labels .*\(w1\)",
    ):
        stub.run(wait_for_result=False, desired_worker_labels=[wish("gpu", "yes")])


# ---------------------------------------------------------------- labels that change


def test_only_a_process_changes_its_labels() -> None:
    app = Headrace(config=Settings())
    function = app.worker("function", labels={"a": 1})
    process = app.worker("process", labels={"a": 1}, process=True)
    with pytest.raises(NotSupportedError, match="worker function: labels change only in a process: a Lambda"):
        function.upsert_labels({"b": 2})
    process.upsert_labels({"b": 2})
    asyncio.run(process.aio_upsert_labels({"a": 3}))
    assert process.labels == {"a": 3, "b": 2}
    assert process.labels.declared == {"a": 1}
    with pytest.raises(DefinitionError, match=r"worker process: upsert_labels: label 'c' is None"):
        process.upsert_labels({"c": None})  # type: ignore[dict-item]  # what is refused


def test_preset_labels_stand_over_the_declared_ones() -> None:
    app = Headrace(config=Settings(worker_preset_labels={"zone": "b", "rack": 7}))
    worker = app.worker("w", labels={"zone": "a"})
    assert dict(worker.labels) == {"zone": "b", "rack": 7}
    assert json.loads(json.dumps(dict(worker.labels.declared))) == {"zone": "a"}


def test_a_change_is_announced() -> None:
    labels, told = WorkerLabels("w", {"a": 1}), list[dict[str, str | int]]()
    labels.changed = lambda: told.append(dict(labels))
    labels.upsert({"b": 2})
    assert told == [{"a": 1, "b": 2}]


def test_a_task_sees_and_changes_labels_in_a_unit_test() -> None:
    def relabel(input: EmptyModel, ctx: Context) -> dict[str, object]:
        ctx.upsert_worker_labels({"model": "large"})
        return {"labels": ctx.worker_labels}

    assert Headrace().task()(relabel).mock_run() == {"labels": {"model": "large"}}


def test_a_task_on_a_function_is_told_why_it_cannot_change_labels() -> None:
    app = Headrace(config=Settings())
    app.use(connect())

    def relabel(input: EmptyModel, ctx: Context) -> dict[str, object]:
        assert ctx.worker_labels == {"memory": 4}
        ctx.upsert_worker_labels({"model": "large"})
        return {}

    task = app.task()(relabel)
    app.worker("cpu", labels={"memory": 4}, workflows=[task])
    ref = task.run(wait_for_result=False)
    [received] = app.engine.queues.receive("cpu", limit=1, wait_s=0)
    deliver(app.engine, host_for(app, "cpu"), received)
    with pytest.raises(
        ValueError, match="worker cpu: labels change only in a process: a Lambda function has no"
    ):
        ref.result()


def test_a_worker_describes_itself() -> None:
    app = Headrace(config=Settings())
    task = app.task(name="t", desired_worker_labels=NEEDS)(step)
    worker = app.worker("w", labels={"a": 1}, workflows=[task], process=True)
    assert worker.declared() == DeclaredWorker(
        worker="w", labels={"a": 1}, process=True, workflows={"t": {"t": '[["model",0,"large"]]'}}
    )
