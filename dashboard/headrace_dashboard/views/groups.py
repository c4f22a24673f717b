"""Failures that are one fault: the same workflow, exception and line of the user's code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from headrace.clients.models.runs import V1TaskSummary

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)')
_RAISED = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?::\s*(?P<message>.*))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What tells one failure from another. `where`: the last frame of the traceback, `file:line in name`."""

    workflow: str
    type: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The runs that one fault ended: newest first."""

    fault: Fault
    message: str
    newest: datetime
    run_ids: tuple[str, ...]


def fault_of(row: V1TaskSummary) -> tuple[Fault, str]:
    """The fault that ended a run, and its message: read from the error's text."""
    text = row.error_message or ""
    frames = list(_FRAME.finditer(text))
    last = frames[-1] if frames else None
    where = f"{last['file'].rsplit('/', 1)[-1]}:{last['line']} in {last['name'].strip()}" if last else ""
    first = text.strip().splitlines()[0] if text.strip() else ""
    raised = _RAISED.match(first)
    kind, message = (raised["type"], raised["message"] or "") if raised else ("", first)
    return Fault(workflow=row.workflow_name, type=kind, where=where), message


def grouped(rows: Iterable[V1TaskSummary]) -> list[Group]:
    """The rows by fault, the largest group first."""
    found: dict[Fault, list[V1TaskSummary]] = {}
    messages: dict[Fault, str] = {}
    for row in rows:
        fault, message = fault_of(row)
        found.setdefault(fault, []).append(row)
        messages.setdefault(fault, message)
    groups = [
        Group(
            fault=fault,
            message=messages[fault],
            newest=max(row.created_at for row in each),
            run_ids=tuple(row.workflow_run_external_id for row in each),
        )
        for fault, each in found.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.run_ids), group.fault.workflow))
