"""What the ledger says against what Headrace says. Pure: lists in, sentences out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from endurance.ledger import Execution

REPLAYS = "replays"
"""The key of executions that start again from their first line by design: a durable task that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What Headrace says of a run: its status, and each task's retry count."""

    status: str
    retries: Mapping[str, int] = field(default_factory=dict)


def wrong(
    promised: Mapping[str, str],
    executions: Sequence[Execution],
    kills: Mapping[int, float],
    said: Mapping[str, Said],
    *,
    tasks: Mapping[str, Sequence[str]],
    limits: Mapping[str, int],
) -> list[str]:
    """A sentence for each promise that was broken; [] where all held."""
    by_task: dict[tuple[str, str], list[Execution]] = defaultdict(list)
    for each in executions:
        by_task[each.run, each.task].append(each)
    return [
        *_lost(promised, by_task, said, tasks),
        *_doubled(by_task, kills, said),
        *_over(executions, kills, limits),
    ]


def _lost(
    promised: Mapping[str, str],
    by_task: Mapping[tuple[str, str], Sequence[Execution]],
    said: Mapping[str, Said],
    tasks: Mapping[str, Sequence[str]],
) -> Iterable[str]:
    for run, workflow in promised.items():
        found = said.get(run)
        if found is None:
            yield f"lost: run {run} of {workflow} was started, and there is no record of it"
        elif found.status != "COMPLETED":
            yield f"run {run} of {workflow} is {found.status}, and should be COMPLETED"
        else:
            for task in tasks[workflow]:
                if not any(each.ended is not None for each in by_task.get((run, task), ())):
                    yield f"lost: run {run} of {workflow} is COMPLETED, and its task {task} has never ended"


def _doubled(
    by_task: Mapping[tuple[str, str], Sequence[Execution]],
    kills: Mapping[int, float],
    said: Mapping[str, Said],
) -> Iterable[str]:
    """An execution in a process that was killed may be repeated: its outcome may not have been written."""
    for (run, task), found in by_task.items():
        if any(each.key == REPLAYS for each in found):
            continue
        alive = [each for each in found if each.pid not in kills]
        retries = said[run].retries.get(task, 0) if run in said else 0
        if len(alive) > 1 + retries:
            yield (
                f"doubled: task {task} of run {run} was executed {len(alive)} times in processes that lived, and Headrace says "
                f"{retries} retries"
            )


def _over(
    executions: Sequence[Execution], kills: Mapping[int, float], limits: Mapping[str, int]
) -> Iterable[str]:
    """Code of a killed process has ended when it was killed."""
    changes: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for each in executions:
        if each.task not in limits:
            continue
        ended = each.ended if each.ended is not None else kills.get(each.pid, each.began)
        changes[each.task, each.key] += [(each.began, 1), (ended, -1)]
    for (task, key), found in changes.items():
        running = most = 0
        for _, change in sorted(found):
            running += change
            most = max(most, running)
        if most > limits[task]:
            yield f"over the limit: {most} executions of {task} ran at once for key {key!r}, and {limits[task]} may"
