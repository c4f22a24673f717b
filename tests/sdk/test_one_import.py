"""What people meet whose code was written for Hatchet, and who change the import."""

from __future__ import annotations

import signal
import time
import warnings
from datetime import timedelta
from typing import Any

import pytest

from headrace import ConcurrencyExpression, Context, DefinitionError, EmptyModel, Hatchet, Settings
from headrace.definitions.base import BaseWorkflow
from headrace.errors import RunCancelled, RunNotFound, StackNotFound
from headrace.memory.queues import MemoryQueues
from headrace.memory.wiring import connect
from headrace_handlers.worker import make_handler
from headrace_infra.compile import compile_app
from headrace_infra.local.dispatcher import LambdaContext, event_of
from headrace_infra.testing import local


def step(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 1}


def other(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"n": 2}


# ---- a Hatchet() in each module


def test_a_worker_runs_the_workflows_of_other_modules_apps() -> None:
    tasks, flows, main = Hatchet(), Hatchet(), Hatchet()
    task = tasks.task(name="task", concurrency=2)(step)
    flow = flows.workflow(name="flow")
    flow.task(name="a")(step)
    main.worker("w", workflows=[task, flow], slots=3)
    assert [worker.name for worker in tasks._fleet()] == ["w"]
    with local(main, backend="memory"):
        assert (task.run(), flow.run()) == ({"n": 1}, {"a": {"n": 1}})
        assert {row.workflow_name for row in tasks.runs.list().rows} == {"task", "flow"}
        assert flows.engine is main.engine
    assert set(main._registry.gate_limits) == {"task:task/0", "worker:w"}
    template = compile_app(main, app_path="app:hatchet")
    assert {"WFunction", "WQueue"} <= set(template["Resources"])
    assert compile_app(tasks, app_path="app:hatchet") == template


def test_apps_that_met_meet_others_together() -> None:
    a, b, c, d = Hatchet(), Hatchet(), Hatchet(), Hatchet()
    of_a, of_b, of_c = (app.task(name=name)(step) for app, name in ((a, "a"), (b, "b"), (c, "c")))
    b.worker("first", workflows=[of_a, of_b])
    d.worker("second", workflows=[of_c, of_a])
    assert [worker.name for worker in c._fleet()] == ["first", "second"]
    assert {app._registry for app in (a, b, c, d)} == {a._registry}
    assert set(b._workflows_by_name) == {"a", "b", "c"}


@pytest.mark.parametrize("setting", ["stack", "namespace"])
def test_apps_of_two_stacks_do_not_meet(setting: str) -> None:
    theirs = Hatchet(config=Settings(**{setting: "prod"})).task(name="task")(step)
    with pytest.raises(
        DefinitionError,
        match=rf"worker w, workflow (prod_)?task: a worker of {setting} .* cannot run .* 'prod'",
    ):
        Hatchet().worker("w", workflows=[theirs])


def test_two_modules_with_a_task_of_one_name() -> None:
    """That on a worker counts; where both are, one of the runs would be lost."""
    mine, yours = Hatchet(), Hatchet()
    sync, also = mine.task(name="sync")(step), yours.task(name="sync")(other)
    wanted = yours.task(name="wanted")(step)
    mine.worker("w", workflows=[sync, wanted])
    assert mine._workflows_by_name["sync"] is sync
    with pytest.raises(DefinitionError, match=r"two workflows are named 'sync'.*step.*other"):
        mine.worker("v", workflows=[also])
    third = Hatchet()
    third.worker("u", workflows=[third.task(name="sync")(other)])
    with pytest.raises(DefinitionError, match=r"two workflows are named 'sync'.*other.*step"):
        third.worker("t", workflows=[wanted])


# ---- the same definition again: a notebook, a reload


def test_a_task_that_is_defined_again_takes_the_place_of_the_one_before() -> None:
    app = Hatchet()

    def cell(answer: int) -> Any:
        def work(input: EmptyModel, ctx: Context) -> dict[str, int]:
            return {"answer": answer}

        return app.task(name="work")(work)

    cell(1)
    app.worker("w", workflows=[app._workflows_by_name["work"]])
    again = cell(2)
    with local(app, backend="memory"):
        assert again.run() == {"answer": 2}
    app.worker("w", workflows=[again])
    assert [worker.workflows for worker in app._workers_declared] == [[again]]


def test_a_workflow_that_is_defined_again() -> None:
    app = Hatchet()
    for _ in range(2):
        flow = app.workflow(name="flow")
        flow.task(name="a")(step)
    assert list(app._workflows_by_name.values()) == [flow]
    assert len(flow.plan().tasks) == 1


def test_two_functions_of_one_name_are_a_mistake() -> None:
    app = Hatchet()
    app.task(name="sync")(step)
    with pytest.raises(DefinitionError, match=r"two workflows are named 'sync'.*step.*other"):
        app.task(name="sync")(other)
    for function in (step, other):
        flow = app.workflow(name="flow")
        flow.task(name="a")(function)
    with pytest.raises(DefinitionError, match="two workflows are named 'flow'"):
        flow.plan()


# ---- names and types


def test_a_base_workflow_takes_the_input_s_type_alone() -> None:
    assert list[BaseWorkflow[EmptyModel]]
    assert BaseWorkflow[EmptyModel] == BaseWorkflow[EmptyModel, Any]
    assert BaseWorkflow[EmptyModel, int] != BaseWorkflow[EmptyModel, Any]


def test_what_a_task_says_of_itself() -> None:
    app = Hatchet()
    five = timedelta(seconds=5)
    one = app.task(retries=3, execution_timeout=five, backoff_factor=2.0, concurrency=4)(step)
    assert one._task is one.task
    task = one._task
    assert (task.retries, task.execution_timeout, task.backoff_factor, task.concurrency) == (3, five, 2.0, 4)
    assert (task.schedule_timeout, task.backoff_max_seconds, task.slot_cost) == (
        timedelta(minutes=5),
        None,
        None,
    )
    assert task.rate_limits == ()
    assert task.desired_worker_labels is None


def test_a_number_as_an_expression() -> None:
    app = Hatchet()
    number = app.task(name="a", concurrency=3)(step)
    spelt = app.task(name="b", concurrency=ConcurrencyExpression.from_int(3))(step)
    [first], [second] = number.task.gates, spelt.task.gates
    assert (first.expression, first.max_runs, first.strategy) == (
        second.expression,
        second.max_runs,
        second.strategy,
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (
            "concurrency-cancel-in-progress-task-level-worker",
            "concurrency-cancel-in-progress-task-level-worker",
        ),
        ("my worker", "my-worker"),
        ("svc.worker/2", "svc-worker-2"),
    ],
)
def test_any_worker_name(given: str, name: str) -> None:
    app = Hatchet()
    task = app.task(name="task")(step)
    assert app.worker(given, workflows=[task]).name == name
    with local(app, backend="memory"):
        ref = task.run(wait_for_result=False, desired_worker_id=given)
        ref.result()
        assert app.runs.get(ref.workflow_run_id).tasks[0].worker_id == name


# ---- on no worker


def test_a_workflow_on_no_worker_is_left_out_and_its_runs_are_refused() -> None:
    app = Hatchet()
    served, lonely = app.task(name="served")(step), app.task(name="lonely")(step)
    app.workflow(name="empty")
    app.worker("w", workflows=[served])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with local(app, backend="memory") as stack:
            assert served.run() == {"n": 1}
            with pytest.raises(DefinitionError, match=r"lonely is on no worker of stack 'headrace'.*\(w\)"):
                lonely.run()
            assert [run.plan.workflow for run in stack.runs()] == ["served"]
    assert [str(each.message).partition(",")[0] for each in caught] == [
        "workflow lonely is on no worker",
        "workflow empty has no task",
    ]
    assert {each.filename for each in caught} == {__file__}


def test_a_client_s_workflow_on_no_worker_of_the_stack() -> None:
    """Its process does not know the workers: the stack says that none has it."""
    app, client = Hatchet(), Hatchet()
    app.worker("w", workflows=[app.task(name="served")(step)])
    lonely = client.task(name="lonely")(step)
    with local(app, backend="memory") as stack:
        client._connection.engine = app.engine
        with pytest.raises(DefinitionError, match=r"workflow lonely is on no worker of stack 'headrace'"):
            lonely.run()
        assert list(stack.runs()) == []


def test_a_stack_that_is_not_there_is_said_to_be_missing() -> None:
    app = Hatchet()
    ports = connect()
    assert isinstance(ports.queues, MemoryQueues)
    ports.queues.only = frozenset()
    app.use(ports)
    with pytest.raises(StackNotFound):
        app.task(name="task")(step).run()


# ---- cancelling one task of a run


def two_tasks(quits: Any) -> tuple[Hatchet, Any]:
    app = Hatchet()
    flow = app.workflow(name="flow")
    flow.task(name="quits")(quits)
    flow.task(name="after", parents=[flow.task(name="works")(step)])(other)
    return app, flow


def test_ctx_cancel_cancels_its_task_alone() -> None:
    def quits(input: EmptyModel, ctx: Context) -> dict[str, int]:
        ctx.cancel()
        assert ctx.is_cancelled
        return {"late": 1}

    app, flow = two_tasks(quits)
    with local(app, backend="memory"):
        ref = flow.run(wait_for_result=False)
        with pytest.raises(RunCancelled):
            ref.result()
        found = app.runs.get_details(ref.workflow_run_id).task_runs
    assert {name: each.status.value for name, each in found.items()} == {
        "quits": "CANCELLED",
        "works": "COMPLETED",
        "after": "COMPLETED",
    }


def test_a_task_is_cancelled_by_its_own_id() -> None:
    app, flow = two_tasks(step)
    with local(app, backend="memory", background=False) as stack:
        ref = flow.run(wait_for_result=False)
        run_id = ref.workflow_run_id
        for unknown in (f"{run_id}:nothing", "unknown:quits"):
            with pytest.raises(RunNotFound):
                app.runs.cancel(unknown)
        app.runs.cancel(app.runs.get_details(run_id).task_runs["quits"].external_id)
        stack.drain()
        found = app.runs.get_details(run_id)
    assert {name: each.status.value for name, each in found.task_runs.items()} == {
        "quits": "CANCELLED",
        "works": "COMPLETED",
        "after": "COMPLETED",
    }
    assert found.status.value == "CANCELLED"


def test_a_definition_that_was_refused_leaves_its_name_free() -> None:
    hatchet = Hatchet()

    def pay(input: EmptyModel, ctx: Context) -> dict[str, bool]:
        return {"ok": True}

    with pytest.raises(DefinitionError, match="retries is -1"):
        hatchet.task(name="pay", retries=-1)(pay)
    task = hatchet.task(name="pay")(pay)
    with local(hatchet, backend="memory"):
        assert task.run() == {"ok": True}


def test_a_client_that_declares_no_workflow_sees_the_stack_s() -> None:
    """One app a module is what Hatchet's examples do, and a web service that uses stubs has none."""
    hatchet = Hatchet()

    @hatchet.task()
    def one(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 1}

    with local(hatchet):
        one.run(additional_metadata={"k": "v"})
        other = Hatchet()
        assert [row.workflow_name for row in other.runs.list().rows] == ["one"]
        assert len(other.runs.list(additional_metadata={"k": "v"}).rows) == 1
        assert len(other.runs.list(workflow_ids=[one.id]).rows) == 1
        assert [each.name for each in other.workflows.list().rows or ()] == ["one"]
        assert other.workflows.get(one.id).name == "one"
        assert other.metrics.get_task_metrics().completed == 1


def test_an_alarm_of_the_code_s_own_works_on_lambda() -> None:
    """There sync code has the main thread. `local` runs it on another, where Python refuses signals: see docs/test.md."""
    hatchet = Hatchet()
    hatchet.use(connect())

    class Own(Exception): ...

    def ring(number: int, frame: object) -> None:
        raise Own

    @hatchet.task(execution_timeout=timedelta(seconds=30))
    def patient(input: EmptyModel, ctx: Context) -> dict[str, bool]:
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            time.sleep(10)
        except Own:
            return {"rang": True}
        return {"rang": False}

    hatchet.worker("w", workflows=[patient])
    ref = patient.run(wait_for_result=False)
    event = event_of(hatchet.engine.queues.receive("w", limit=1, wait_s=0), "us-east-1")
    handler = make_handler(hatchet, "w", stop_process=lambda reason: None)
    assert handler(event, LambdaContext("w", 60)) == {"batchItemFailures": []}
    assert ref.result() == {"rang": True}
    assert patient.mock_run() == {"rang": True}
