"""The log of a durable task as people read it: one line an operation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import assert_never

from headrace.core.changes import copied
from headrace.core.durable.log import Branch, Entry, Kind, branch_of
from headrace.core.durable.words import groups_in_words
from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass


class OperationKind(StrEnum):
    """What an operation is."""

    RUN = "RUN"  # a child run
    WAIT_FOR = "WAIT_FOR"  # sleeps and events
    MEMO = "MEMO"  # a value that was made once


class OperationState(StrEnum):
    """How far an operation is."""

    OPEN = "OPEN"  # nothing has answered it
    SATISFIED = "SATISFIED"  # answered
    GIVEN_UP = "GIVEN_UP"  # the code stopped waiting for it: a timeout of its own came first


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationView:
    """An operation. `node_id`: its place among those of the task, from 0. `order`: its place among the answers, from 1; None while it has
    none. `result`: of a WAIT_FOR what each satisfied condition brought, of a MEMO its value."""

    node_id: int
    branch_id: int
    kind: OperationKind
    asked: str
    state: OperationState
    order: int | None
    result: Json
    child_run_id: str | None


def operation_views(entries: Iterable[Entry], branches: Sequence[Branch] = ()) -> list[OperationView]:
    """The operations of a log, by node."""
    return [
        OperationView(
            node_id=entry.node,
            branch_id=branch_of(branches, entry.node),
            kind=_kind(entry.kind),
            asked=asked_in_words(entry),
            state=_state(entry),
            order=entry.order or None,
            result=copied(entry.result),  # type: ignore[arg-type]  # JSON is made of values
            child_run_id=entry.child.run_id if entry.child is not None else None,
        )
        for entry in entries
    ]


def asked_in_words(entry: Entry) -> str:
    """What the code asked for: its label, and what it waits for where the log still says that."""
    if entry.kind is Kind.RUN:
        return f"child run {entry.child.run_id}" if entry.child is not None else "a child run"
    waited = groups_in_words(entry.groups)
    if not waited:
        return entry.label
    return f"{entry.label}: {waited}" if entry.label and entry.label != waited else waited


def _kind(kind: Kind) -> OperationKind:
    match kind:
        case Kind.RUN:
            return OperationKind.RUN
        case Kind.WAIT:
            return OperationKind.WAIT_FOR
        case Kind.MEMO:
            return OperationKind.MEMO
        case _:
            assert_never(kind)


def _state(entry: Entry) -> OperationState:
    if entry.given_up:
        return OperationState.GIVEN_UP
    return OperationState.OPEN if entry.open else OperationState.SATISFIED
