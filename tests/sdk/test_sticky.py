"""Sticky runs: a run's tasks on one worker, and children on their parent's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from headrace import (
    Context,
    DefinitionError,
    DesiredWorkerLabel,
    EmptyModel,
    Headrace,
    Settings,
    StickyStrategy,
)
from headrace.core.run.owed import worker_of
from headrace.core.run.record import RunRecord, RunStatus
from headrace.core.run.routing import Routing
from headrace.core.run.stored.record import record_of
from headrace.core.table import run_key
from headrace.definitions.workflow import Workflow
from headrace.engine.attempts.ports import Done
from headrace.engine.catalog.workers import announce
from headrace.engine.runs.deliver import deliver
from headrace.memory.wiring import connect
from headrace.ports import Ports
from headrace_handlers.boot import host_for

SOFT, HARD = StickyStrategy.SOFT, StickyStrategy.HARD
GPU = [DesiredWorkerLabel(key="gpu", value="yes", required=True)]
RATHER_GPU = [DesiredWorkerLabel(key="gpu", value="yes")]
CPU = [DesiredWorkerLabel(key="gpu", value="no", required=True)]


def step(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"worker": ctx.worker_id}


class Yard:
    """An app on ports in memory, with a worker `cpu` and a worker `gpu`; messages are delivered when `work` is called."""

    def __init__(self) -> None:
        self.app = Headrace(config=Settings())
        self.ports: Ports = connect()
        self.app.use(self.ports)

    def workers(self, *workflows: Any, processes: bool = False) -> None:
        for name, gpu in (("cpu", "no"), ("gpu", "yes")):
            self.app.worker(name, labels={"gpu": gpu}, workflows=workflows, process=processes)

    def flow(self, sticky: StickyStrategy | None, wishes: list[Any], **options: Any) -> Workflow[EmptyModel]:
        """Tasks t0, t1, … that wish for these labels."""
        made = self.app.workflow(name="flow", sticky=sticky)
        for number, each in enumerate(wishes):
            made.task(name=f"t{number}", desired_worker_labels=each)(step)
        self.workers(made, **options)
        return made

    def record(self, run_id: str) -> RunRecord:
        item = self.ports.store.get(run_key(run_id))
        assert item is not None
        return record_of(item)

    def placed(self, run_id: str) -> dict[str, str]:
        record = self.record(run_id)
        return {task.name: worker_of(record, task.name) for task in record.plan.tasks}

    def work(self) -> None:
        """Deliver until all queues are empty."""
        engine, busy = self.app.engine, True
        while busy:
            busy = False
            for worker in self.app._fleet():
                for received in self.ports.queues.receive(worker.name, limit=1, wait_s=0):
                    busy = True
                    if isinstance(deliver(engine, host_for(self.app, worker.name), received), Done):
                        self.ports.queues.delete(received)


PLANNED: list[tuple[StickyStrategy | None, list[Any], list[str]]] = [
    (None, [CPU, RATHER_GPU, None], ["cpu", "gpu", "cpu"]),
    (SOFT, [CPU, RATHER_GPU, None], ["cpu", "cpu", "cpu"]),
    (SOFT, [GPU, None, CPU, None], ["gpu", "gpu", "cpu", "gpu"]),
    (HARD, [GPU, None, RATHER_GPU], ["gpu", "gpu", "gpu"]),
]


@pytest.mark.parametrize(("sticky", "wishes", "workers"), PLANNED)
def test_the_first_task_s_worker_is_home(
    sticky: StickyStrategy | None, wishes: list[Any], workers: list[str]
) -> None:
    plan = Yard().flow(sticky, wishes).plan()
    assert [task.worker for task in plan.tasks] == workers
    assert plan.sticky == (sticky or "")


def test_a_task_that_cannot_stay_where_it_has_to_is_refused_when_it_is_planned() -> None:
    message = (
        r"task t1 of workflow flow has to stay on worker gpu \(sticky is HARD\) and requires a worker with gpu='no'; "
        r"gpu has gpu='yes': give the worker that label, or make the workflow SOFT"
    )
    with pytest.raises(DefinitionError, match=message):
        Yard().flow(HARD, [GPU, CPU]).plan()


def test_processes_may_get_the_label_that_a_task_needs() -> None:
    """HARD keeps the queue; which of its processes has the label is found when it runs."""
    yard = Yard()
    flow = yard.flow(HARD, [GPU, CPU], processes=True)
    run = flow.run(wait_for_result=False).workflow_run_id
    assert yard.placed(run) == {"t0": "gpu", "t1": "gpu"}
    assert yard.record(run).routing == Routing(required_labels={"t1": '[["gpu",0,"no"]]'})


@pytest.mark.parametrize("sticky", [None, SOFT, HARD])
def test_a_run_s_own_wishes_find_the_home_of_a_sticky_run(sticky: StickyStrategy | None) -> None:
    yard = Yard()
    flow = yard.flow(sticky, [None, None])
    run = flow.run(wait_for_result=False, desired_worker_labels=RATHER_GPU).workflow_run_id
    assert yard.placed(run) == {"t0": "gpu", "t1": "gpu"}


@pytest.mark.parametrize(
    ("alive", "worker"), [((), "gpu"), (("cpu",), "cpu"), (("cpu", "gpu"), "gpu"), (("gpu",), "gpu")]
)
def test_home_is_preferred_of_the_processes_too(alive: tuple[str, ...], worker: str) -> None:
    """SOFT: the wish of t1 is met by no declared label, so it goes to a process that has it, at home if it can be."""
    yard = Yard()
    large = [
        DesiredWorkerLabel(key="model", value="large", required=True),
        DesiredWorkerLabel(key="on", value="cpu"),
    ]
    flow = yard.flow(SOFT, [GPU, large], processes=True)
    for name in alive:
        announce(yard.app.engine, name, "p", {"model": "large", "on": name})
    run = flow.run(wait_for_result=False).workflow_run_id
    assert yard.placed(run) == {"t0": "gpu", "t1": worker}


def test_a_strategy_that_is_none() -> None:
    with pytest.raises(DefinitionError, match=r"workflow w: sticky is 'yes': give StickyStrategy\.SOFT or"):
        Headrace(config=Settings()).workflow(name="w", sticky="yes")  # type: ignore[call-overload]  # what is refused
    assert Headrace(config=Settings()).task(sticky=HARD)(step).plan().sticky == "HARD"


# ---------------------------------------------------------------- children


def a_family(child_sticky: StickyStrategy | None, wishes: Any, child_on: str = "both", **asked: Any) -> Yard:
    """A parent on `gpu` that spawns `child`, which alone would run on `cpu`, with these arguments."""
    yard = Yard()
    child = yard.app.task(name="child", sticky=child_sticky, desired_worker_labels=wishes)(step)

    def spawn(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        ref = child.run(wait_for_result=False, **asked)
        return {"run": ref.workflow_run_id}

    parent = yard.app.task(name="parent", desired_worker_labels=GPU)(spawn)
    yard.workers(parent)
    cpu, gpu = yard.app._fleet()
    cpu.register_workflow(child)
    if child_on == "both":
        gpu.register_workflow(child)
    return yard


def spawned(yard: Yard) -> tuple[RunRecord, dict[str, str]]:
    """The parent's record, and where its child ran."""
    run = yard.app._workflows_by_name["parent"].run(wait_for_result=False).workflow_run_id
    yard.work()
    record = yard.record(run)
    output = yard.app.runs.get_result(run) if record.tasks["parent"].error is None else {}
    found: Mapping[str, Any] = output.get("parent", output) if isinstance(output, dict) else {}
    return record, yard.placed(found["run"]) if "run" in found else {}


CHILDREN: list[tuple[StickyStrategy | None, Any, str, bool, str]] = [
    (None, None, "both", False, "cpu"),
    (None, None, "both", True, "gpu"),
    (SOFT, None, "both", True, "gpu"),
    (HARD, None, "both", True, "gpu"),
    (SOFT, CPU, "both", True, "cpu"),
    (SOFT, None, "cpu", True, "cpu"),
]


@pytest.mark.parametrize(("strategy", "wishes", "child_on", "sticky", "worker"), CHILDREN)
def test_a_sticky_child_runs_where_its_parent_does_if_it_can(
    strategy: StickyStrategy | None, wishes: Any, child_on: str, sticky: bool, worker: str
) -> None:
    record, placed = spawned(a_family(strategy, wishes, child_on, sticky=sticky))
    assert record.tasks["parent"].status == RunStatus.COMPLETED
    assert placed == {"child": worker}


HARD_ERRORS: list[tuple[Any, str, str]] = [
    (
        CPU,
        "both",
        "task child of workflow child has to stay on worker gpu (sticky is HARD) and requires a worker with",
    ),
    (None, "cpu", "which does not register the workflow (cpu does)"),
]


@pytest.mark.parametrize(("wishes", "child_on", "message"), HARD_ERRORS)
def test_a_child_that_has_to_stay_and_cannot_is_refused(wishes: Any, child_on: str, message: str) -> None:
    """The parent fails with an error that names both."""
    record, _ = spawned(a_family(HARD, wishes, child_on, sticky=True))
    error = record.tasks["parent"].error
    assert error is not None
    assert message in error.message
    assert "sticky to its parent, task parent of workflow parent" in error.message


def test_a_worker_that_is_named_wins_over_stickiness() -> None:
    _, placed = spawned(a_family(HARD, None, sticky=True, desired_worker_id="cpu"))
    assert placed == {"child": "cpu"}
