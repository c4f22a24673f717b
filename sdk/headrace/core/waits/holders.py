"""The item of a concurrency limit, decoded: its holders, each an attribute.

An item is billed by the kilobyte at each write, so holders are named in as few bytes as tell them apart: see `held_as`.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from functools import lru_cache
from uuid import UUID

from headrace.core.changes import Item, Value
from headrace.core.points import WORKER_GATE
from headrace.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Holder:
    """A holder: since when it is in, with which ticket, with how many places. `born_ms`: when its run was created.

    `until_ms`: its attempt is over and its code still runs, in a process that moves this time on for as long as that lasts.
    `long_name`: the attribute of one that entered before names were short."""

    member: str
    ticket: int
    since_ms: int
    born_ms: int
    cost: int = 1
    until_ms: int | None = None
    long_name: str | None = None

    @property
    def run_id(self) -> str:
        return self.member.split("/", 1)[0]

    @property
    def task(self) -> str | None:
        """None: the whole run holds it."""
        if "/" not in self.member:
            return None
        task = self.member.split("/", 1)[1]
        return task if self.until_ms is None else task.rpartition("#")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """A gate's item, decoded. `limit` is that of the last holder that entered; `waiting` the mark that a task may wait."""

    holders: Mapping[str, Holder]
    taken: int
    limit: int
    waiting: str | None
    evicted: tuple[str, ...] = ()


def state_of(item: Item | None) -> GateState:
    found = item or {}
    waiting = found.get("w")
    return GateState(
        holders=_holders(found),
        taken=_int(found, "c"),
        limit=_int(found, "n"),
        waiting=waiting if isinstance(waiting, str) else None,
        evicted=tuple(name[3:] for name in found if name.startswith("ev:")),
    )


def _holders(found: Item) -> dict[str, Holder]:
    task = _task_of(str(found.get("pk", "")))
    out: dict[str, Holder] = {}
    for name, value in found.items():
        if not name.startswith("h:") or not isinstance(value, dict):
            continue
        held = Holder(
            member=_member(name[2:], task),
            ticket=_int(value, "t"),
            since_ms=_int(value, "a"),
            born_ms=_int(value, "b"),
            cost=_int(value, "k", 1),
            until_ms=_int(value, "u") if "u" in value else None,
            long_name=name if _is_long(name[2:]) else None,
        )
        if held.long_name is None or held.member not in out:  # it may have entered again since
            out[held.member] = held
    return out


def _int(found: Mapping[str, Value], name: str, default: int = 0) -> int:
    value = found.get(name)
    return value if isinstance(value, int) else default


# ---------------------------------------------------------------- names


def held_as(gate: str, member: str) -> str:
    """The attribute of a holder: its run's id in 22 characters, and its task's name where that is not the gate's own."""
    run_id, slash, task = member.partition("/")
    return f"h:{_short_id(run_id)}{slash}{'' if task == _task_of(gate) else task}"


def attribute_of(gate: str, held: Holder) -> str:
    """The attribute that a holder was found in."""
    return held.long_name or held_as(gate, held.member)


def _member(name: str, task: str) -> str:
    """The member that `held_as` made a name of. `task`: the gate's own."""
    short, slash, own = name.partition("/")
    return f"{_long_id(short)}{slash}{own or task}" if slash else _long_id(short)


def _is_long(name: str) -> bool:
    """Whether it is a run's id as it is: the short ones have no dash, but where they begin with `=`."""
    return "-" in name.partition("/")[0] and not name.startswith("=")


@lru_cache(maxsize=1_024)
def _task_of(gate: str) -> str:
    """The task that a gate is of; "" where it is none's, such as that of a worker's slots."""
    name = gate[gate.find("gate#") + 5 :].partition("#")[0]
    owner, slash, _ = name.rpartition("/")
    return owner.rpartition(":")[2] if slash and ":" in owner and not name.startswith(WORKER_GATE) else ""


@lru_cache(maxsize=1_024)
def _short_id(run_id: str) -> str:
    try:
        known = UUID(run_id) if len(run_id) == 36 else None
    except ValueError:
        known = None
    if known is None or str(known) != run_id:
        return f"={run_id}"
    return b2a_base64(known.bytes, newline=False).decode()[:22].replace("/", "_")


@lru_cache(maxsize=1_024)
def _long_id(short: str) -> str:
    if short.startswith("=") or len(short) != 22:
        return short.removeprefix("=")
    return str(UUID(bytes=a2b_base64(short.replace("_", "/") + "==")))
