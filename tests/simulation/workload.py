"""What is asked of the engine: random workflows, what their code does, and what must come of each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from headrace.core.run.plans.plan import ParentLeaf, RunPlan, TaskKind, TaskPlan
from headrace.core.run.record import TaskStatus

WORKERS = ("default", "default", "gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a task's code does: fails its first `failures` attempts, permanently or not, after `duration_ms` each."""

    failures: int = 0
    permanent: bool = False
    slow_attempts: int = 0  # so many first attempts outlast their limit
    duration_ms: int = 100
    output: int = 0
    output_chars: int = 0
    children: int = 0  # a parent that spawns so many, waits without holding an invocation, and counts those that completed

    def fate(self, app_retry_count: int) -> str:
        """What this attempt does: succeed, fail, fail for good, or time out."""
        if app_retry_count < self.slow_attempts:
            return "slow"
        if app_retry_count < self.slow_attempts + self.failures:
            return "permanent" if self.permanent else "fail"
        return "succeed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A workflow and the scripts of its tasks. `impatient`: its tasks may be cancelled because they waited too long."""

    plan: RunPlan
    scripts: Mapping[str, Script]
    impatient: bool = False


CHILD = Flow(
    plan=RunPlan(
        workflow="child", version="1", tasks=(TaskPlan(name="c", retries=1, schedule_timeout_ms=10**9),)
    ),
    scripts={"c": Script(failures=1, duration_ms=30, output=1)},
)
"""What parents spawn: a task that fails once and then completes."""


def draw_fan(random: Random, name: str) -> Flow:
    """A task, some that become ready with its end, some of which fail or are slow, and one that comes after them, which has two more."""
    sides = [f"t{n}" for n in range(1, random.choice((3, 4, 6)))]
    parents = {"t0": (), **dict.fromkeys(sides, ("t0",)), "t7": tuple(sides), "t8": ("t7",), "t9": ("t7",)}
    retries = {task: random.choice((0, 0, 1, 2)) for task in parents}
    tasks = tuple(
        TaskPlan(
            name=task,
            worker=random.choice((*WORKERS, "default", "default")),
            parents=before,
            retries=retries[task],
            execution_timeout_ms=5_000,
            schedule_timeout_ms=10**9,
        )
        for task, before in parents.items()
    )
    scripts = {task: _draw_script(random, retries[task]) for task in parents}
    return Flow(plan=RunPlan(workflow=name, version="1", tasks=tasks), scripts=scripts)


def draw_flow(random: Random, name: str, sizes: Sequence[int] = (1, 1, 2, 3, 4, 5, 7)) -> Flow:
    """A random DAG of one to seven tasks."""
    tasks: list[TaskPlan] = []
    scripts: dict[str, Script] = {}
    leaves = 0
    for index in range(random.choice(sizes)):
        parents = tuple(task.name for task in tasks if random.random() < 0.45)[:3]
        options: dict[str, object] = {}
        if parents and random.random() < 0.3:
            action = random.choice(("skip_if", "cancel_if", "wait_for"))
            leaf = ParentLeaf(
                number=leaves,
                parent=random.choice(parents),
                expression=f"output['n'] > {random.randrange(100)}",
            )
            leaves += 1
            options[action] = ((leaf,),)
        retries = random.choice((0, 0, 1, 2))
        task = TaskPlan(
            name=f"t{index}",
            worker=random.choice(WORKERS),
            parents=parents,
            retries=retries,
            backoff_factor=random.choice((None, None, 2.0, 1500.0)) if retries else None,
            backoff_max_s=2_000,
            execution_timeout_ms=5_000,
            schedule_timeout_ms=10**9,
            isolated=random.random() < 0.2,
            **options,  # type: ignore[arg-type]  # groups of leaves
        )
        tasks.append(task)
        scripts[task.name] = _draw_script(random, retries)
    if random.random() < 0.25:
        tasks.append(TaskPlan(name="t-on-failure", kind=TaskKind.ON_FAILURE, schedule_timeout_ms=10**9))
        scripts["t-on-failure"] = Script(duration_ms=50, output=1)
    return Flow(plan=RunPlan(workflow=name, version="1", tasks=tuple(tasks)), scripts=scripts)


def _draw_script(random: Random, retries: int) -> Script:
    if random.random() < 0.08:
        size = random.choice((1, 3, 5))
        return Script(duration_ms=20, output=size, children=size)
    kind = random.random()
    failures = 0
    if kind < 0.3:
        failures = random.randrange(1, retries + 2)
    return Script(
        failures=failures,
        permanent=random.random() < 0.15,
        slow_attempts=1 if random.random() < 0.08 else 0,
        duration_ms=random.choice((1, 20, 200, 2_000)),
        output=random.randrange(100),
        output_chars=random.choice((0, 0, 0, 1_200)),
    )


# ---------------------------------------------------------------- the model of what was asked for


def predict(flow: Flow, turned_away: Mapping[str, int] | None = None) -> dict[str, tuple[TaskStatus, int]]:
    """Each task's status and user retries in a run that is not cancelled. Written apart from `core.graph`, on purpose.

    turned_away: the tasks that were not admitted, and after how many retries. Whether they may be is not asked here.
    """
    away = turned_away or {}
    done: dict[str, tuple[TaskStatus, int]] = {}
    for task in flow.plan.tasks:
        if task.kind is TaskKind.NORMAL:
            done[task.name] = _unless_away(_predict_task(flow, task, done), away.get(task.name))
    if any(status is TaskStatus.FAILED for status, _ in done.values()):
        for task in flow.plan.tasks:
            if task.kind is TaskKind.ON_FAILURE:
                run = _predict_run(flow.scripts[task.name], task.retries)
                done[task.name] = _unless_away(run, away.get(task.name))
    return done


def _unless_away(run: tuple[TaskStatus, int], after: int | None) -> tuple[TaskStatus, int]:
    """A task that runs can be turned away before any of its attempts; one that would not, cannot."""
    status, retries = run
    if after is None or after > retries or status not in (TaskStatus.COMPLETED, TaskStatus.FAILED):
        return run
    return TaskStatus.CANCELLED, after


def _predict_task(
    flow: Flow, task: TaskPlan, done: Mapping[str, tuple[TaskStatus, int]]
) -> tuple[TaskStatus, int]:
    parents = [done[name][0] for name in task.parents]
    if any(status in (TaskStatus.FAILED, TaskStatus.CANCELLED) for status in parents):
        return TaskStatus.CANCELLED, 0
    if parents and all(status is TaskStatus.SKIPPED for status in parents) and not task.skip_if:
        return TaskStatus.SKIPPED, 0

    def true(groups: tuple[tuple[ParentLeaf, ...], ...]) -> bool:
        return all(any(_leaf_true(flow, leaf, done) for leaf in group) for group in groups)

    if task.skip_if and true(task.skip_if):
        return TaskStatus.SKIPPED, 0
    if task.cancel_if and true(task.cancel_if):
        return TaskStatus.CANCELLED, 0
    if not true(task.wait_for):
        return TaskStatus.SKIPPED, 0
    return _predict_run(flow.scripts[task.name], task.retries)


def _leaf_true(flow: Flow, leaf: ParentLeaf, done: Mapping[str, tuple[TaskStatus, int]]) -> bool:
    if done[leaf.parent][0] is not TaskStatus.COMPLETED:
        return False
    bound = int((leaf.expression or "").rsplit(" ", 1)[1])
    return flow.scripts[leaf.parent].output > bound


def _predict_run(script: Script, retries: int) -> tuple[TaskStatus, int]:
    for attempt in range(retries + 1):
        match script.fate(attempt):
            case "succeed":
                return TaskStatus.COMPLETED, attempt
            case "permanent":
                return TaskStatus.FAILED, attempt
            case _:
                pass
    return TaskStatus.FAILED, retries
