"""Required labels: tasks wait for a process that has them."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.labels import decode_required, meets
from headrace.core.points import AtLabels, encode_point
from headrace.engine.engine import Engine
from headrace.engine.waits.wake import heads, wake


def labels_changed(engine: Engine, worker: str, labels: Mapping[str, str | int]) -> int:
    """A process of the worker has these labels from now on: wake the tasks that waited for them. Returns how many."""
    able = [
        each
        for each in heads(engine, encode_point(AtLabels(worker)))
        if meets(decode_required(each.required_labels), labels)
    ]
    wake(engine, able)
    return len(able)
