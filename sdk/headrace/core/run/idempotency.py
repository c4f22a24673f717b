"""Idempotency keys: an item that names the run it admitted, and carries that run's start messages.

A collision with a run that has no record sends its start again, so a client that died between key and message blocks no other.
"""

from __future__ import annotations

from headrace.core.changes import (
    ITEM_MISSING,
    AtMost,
    Condition,
    Delete,
    Equal,
    Item,
    Missing,
    Put,
    Value,
    either,
    every,
)
from headrace.core.table import idempotency_key, idempotency_partition
from headrace.core.values import dataclass

SLACK_S = 3_600
"""How long past its end a key's item stays before the table's TTL may remove it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """`key` is held for `ttl_ms` from acceptance or, if `until_over`, until the run is over and for `ttl_ms` at most."""

    key: str
    ttl_ms: int
    until_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRule:
    """How a workflow's keys are made and held: the CEL `expression` gives the key; the rest as IdempotencyKey has it."""

    expression: str
    ttl_ms: int
    until_over: bool = False


def hold(
    workflow: str,
    wanted: IdempotencyKey,
    run_id: str,
    starts: list[tuple[str, str]],
    *,
    now_ms: int,
    instead_of: str | None = None,
    due_ms: int | None = None,
) -> Put:
    """Take the key for `run_id`: free, run out, ours already, or held by the run `instead_of`, which is over."""
    name = idempotency_partition(workflow, wanted.key)
    return hold_name(
        name,
        wanted.ttl_ms,
        run_id,
        starts,
        now_ms=now_ms,
        instead_of=instead_of,
        due_ms=due_ms,
    )


def hold_name(
    name: str,
    ttl_ms: int,
    run_id: str,
    starts: list[tuple[str, str]],
    *,
    now_ms: int,
    instead_of: str | None = None,
    due_ms: int | None = None,
    generation: int = 0,
) -> Put:
    """As `hold`, by the partition of the key. `generation`: of the run, so that an earlier one's end does not give it up."""
    messages: list[Value] = [[worker, body] for worker, body in starts]
    free: list[Condition] = [ITEM_MISSING, AtMost(("until",), now_ms), Equal(("run",), run_id)]
    if instead_of is not None:
        free.append(Equal(("run",), instead_of))
    until_ms = now_ms + ttl_ms
    later: Item = {} if due_ms is None else {"due": due_ms}
    if generation:
        later["gen"] = generation
    return Put(
        key=idempotency_key(name),
        item={
            "run": run_id,
            "until": until_ms,
            "starts": messages,
            "expires_at": until_ms // 1000 + SLACK_S,
            **later,
        },
        require=either(*free),
    )


def release(name: str, run_id: str, generation: int = 0) -> Delete:
    """Give the key up, if it is still ours, and no later generation of the run has taken it again."""
    ours = either(Missing(("gen",)), AtMost(("gen",), generation))
    return Delete(key=idempotency_key(name), require=every(Equal(("run",), run_id), ours))


def starts_of(item: Item) -> list[tuple[str, str]]:
    """The start messages (worker, body) of the run that holds the key."""
    found = item.get("starts")
    if not isinstance(found, list):
        return []
    return [(str(entry[0]), str(entry[1])) for entry in found if isinstance(entry, list)]
