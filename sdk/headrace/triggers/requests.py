"""From the items that users write to the starts that are asked for.

It is done on the caller's side, before any thread: a child's place among its siblings is the order in which the task's code asks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headrace.core.run.request import Call, Child, Origin, StartOptions, StartRun
from headrace.errors import DefinitionError, NotSupportedError
from headrace.options.debounce import quiet_of
from headrace.options.durations import to_ms
from headrace.options.labels import desired_labels_of, worker_name
from headrace.options.times import to_epoch_ms
from headrace.triggers.children import ChildPlace, Spawner, child_of, current, handed_down
from headrace.values.codec import metadata_of

if TYPE_CHECKING:
    from headrace.settings.settings import Settings
    from headrace.triggers.options import TriggerWorkflowOptions, WorkflowRunTriggerConfig


def requests(
    settings: Settings, items: Sequence[WorkflowRunTriggerConfig], now_ms: Callable[[], int]
) -> list[StartRun]:
    """One start an item, in the order given. Inside a task they are its children. `now_ms` is asked where one has a delay."""
    spawner = current.get()
    for item in items:
        _refuse_what_is_not_meant(item, spawner)
    places = spawner.take_places(len(items)) if spawner is not None else [ChildPlace(0, 0)] * len(items)
    at_ms = now_ms() if any(item.options.delay is not None for item in items) else 0
    return [
        _request(settings, item, spawner, place, at_ms) for place, item in zip(places, items, strict=True)
    ]


def _request(
    settings: Settings,
    item: WorkflowRunTriggerConfig,
    spawner: Spawner | None,
    place: ChildPlace,
    now_ms: int,
) -> StartRun:
    given = item.options
    name = settings.apply_namespace(item.workflow_name, given.namespace)
    return StartRun(
        workflow=name,
        input=item.input,
        options=StartOptions(
            metadata=metadata_of(given.additional_metadata),
            priority=given.priority,
            sticky=given.sticky,
            desired_worker_id=worker_name(settings.apply_namespace(given.desired_worker_id, given.namespace))
            if given.desired_worker_id
            else None,
            desired_worker_labels=desired_labels_of(
                given.desired_worker_label, f"workflow {name}: desired_worker_labels"
            ),
            due_at_ms=_due_at_ms(given, f"workflow {name}", now_ms),
            debounce=quiet_of(given.debounce, f"workflow {name}"),
        ),
        origin=_origin(given, spawner, place) if given.debounce is None else Call(),
    )


def _due_at_ms(given: TriggerWorkflowOptions, where: str, now_ms: int) -> int | None:
    """When the first tasks are due. DefinitionError where it is said twice, or cannot be."""
    said = {"delay": given.delay, "run_at": given.run_at, "debounce": given.debounce}
    names = [name for name, value in said.items() if value is not None]
    if len(names) > 1:
        raise DefinitionError(f"{where}: {' and '.join(names)} are both given: give one of them")
    if given.run_at is not None:
        return to_epoch_ms(given.run_at, f"{where}: run_at", stacklevel=6)
    if given.delay is None:
        return None
    due_ms = now_ms + to_ms(given.delay, f"{where}: delay")
    return due_ms if due_ms > now_ms else None


def _origin(given: TriggerWorkflowOptions, spawner: Spawner | None, place: ChildPlace) -> Origin:
    if spawner is None:
        return Call()
    index = given.child_index if given.child_index is not None else place.index
    run_id, link = child_of(spawner, index, given.child_key, branch=place.branch)
    return Child(run_id=run_id, parent=link, first=place.first, metadata=handed_down(spawner))


def _refuse_what_is_not_meant(item: WorkflowRunTriggerConfig, spawner: Spawner | None) -> None:
    """Options that would not do what they say. NotSupportedError, or a warning where nothing can go wrong."""
    given, where = item.options, f"workflow {item.workflow_name}"
    own = (spawner.record.run_id, spawner.step_run_id) if spawner is not None else (None, None)
    for name, value, mine in zip(
        ("parent_id", "parent_step_run_id"), (given.parent_id, given.parent_step_run_id), own, strict=True
    ):
        if value is not None and value != mine:
            raise NotSupportedError(
                f"{where}: {name} is {value!r}, but a run's parent is the task whose code starts it"
                f"{f', {mine}' if mine else ', and none runs here'}: leave {name} out"
            )
    if given.child_index is not None and (spawner is None or spawner.durable):
        raise NotSupportedError(
            f"{where}: child_index is {given.child_index}, but the places of children are counted "
            f"{'by a durable task itself' if spawner is not None else 'inside a task only'}: give child_key instead"
        )
    if given.child_key is not None and spawner is None:
        warnings.warn(
            f"{where}: child_key={given.child_key!r} has no effect outside of a task: to admit one run a key, declare idempotency=",
            stacklevel=5,
        )
