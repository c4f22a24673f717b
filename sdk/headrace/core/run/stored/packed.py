"""An output in the record, compressed with what the record holds already: the run's input, and the outputs of the task's ancestors.

Tasks of a run pass on the same objects, so a text of 200 B that zlib alone leaves as it is often takes a fifth beside those before it.
All ancestors of a task are settled before it starts, and a settled row does not change: each reader finds the same dictionary. A replay
may change them, and writes every row anew, without a dictionary.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace

from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import Payload, Place, TaskRow

PACKED_OVER = 80
"""Bytes over which an output is packed: below, what it saves is less than what the row's form costs."""

MOST_PACKED_BYTES = 4_096
"""Larger outputs are compressed by themselves: a dictionary of a few KB tells little of them."""

DICTIONARY_BYTES = 4_096
"""The latest of what precedes an output: part of the format, as readers need the same."""

SHARE = 0.8
"""A packed text takes at most this much of what it takes otherwise."""

_RAW = -15  # deflate without header and checksum: a row has neither


def pack(
    plan: RunPlan, task: str, input: Payload, rows: Mapping[str, TaskRow], text: str, *, stored_bytes: int
) -> bytes | None:
    """The output of `task`, compressed with what precedes it; None where that saves too little. `stored_bytes`: what it takes otherwise."""
    body = text.encode()
    if not PACKED_OVER < len(body) <= MOST_PACKED_BYTES:
        return None
    before = _dictionary(plan, task, input, rows)
    if not before:
        return None
    packing = zlib.compressobj(9, zlib.DEFLATED, _RAW, zdict=before)
    small = packing.compress(body) + packing.flush()
    return small if len(small) <= stored_bytes * SHARE else None


def unpack_all(plan: RunPlan, input: Payload, rows: dict[str, TaskRow]) -> None:
    """Give each row its output's text, in place. zlib.error where the record is none of ours."""
    for name in sorted(
        (name for name, row in rows.items() if row.output.packed), key=plan.numbers.__getitem__
    ):
        row = rows[name]
        opening = zlib.decompressobj(_RAW, zdict=_dictionary(plan, name, input, rows))
        text = opening.decompress(row.output.packed or b"").decode()
        rows[name] = replace(row, output=Payload.inline(text))


def _dictionary(plan: RunPlan, task: str, input: Payload, rows: Mapping[str, TaskRow]) -> bytes:
    """The texts that precede the output, the latest ones last: input, then outputs of ancestors in the order of the plan."""
    texts: list[bytes] = []
    size = 0
    for name in _latest_ancestors(plan, task):
        row = rows.get(name)
        if row is None or row.output.place is not Place.RECORD or row.output.text is None:
            continue
        texts.append(row.output.text.encode())
        size += len(texts[-1])
        if size >= DICTIONARY_BYTES:
            break
    if input.place is Place.RECORD and input.text is not None and size < DICTIONARY_BYTES:
        texts.append(input.text.encode())
    return b"".join(reversed(texts))[-DICTIONARY_BYTES:]


def _latest_ancestors(plan: RunPlan, task: str) -> list[str]:
    """The task's ancestors, the last of the plan first."""
    found: set[str] = set()
    todo = list(plan.task(task).parents)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(plan.task(name).parents)
    return sorted(found, key=plan.numbers.__getitem__, reverse=True)
