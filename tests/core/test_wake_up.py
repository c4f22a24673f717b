"""Which waiters are woken: a table of lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.waits.line import Waiter
from headrace.core.waits.wake_up import PATIENCE_MS, Account, overdue, who_to_wake

ME = Account(message="me")
AGAIN = Account(message="me", redelivered=True)
PAID = Account(message="me", redelivered=True, sent={("g", "a", 2)})
CLIENT = Account()


def waiter(name: str, *, by: str | None = None, cost: int = 1, repeats: int = 0) -> Waiter:
    """`by`: the message that noted it as woken; None: it has no note."""
    noted = {} if by is None else {"woken_at_ms": 100, "woken_by": by}
    return Waiter(
        gate="g", sk=name, run_id=name, task="t", number=0, ticket=2, worker="w", queued_at_ms=1, start_by_ms=2, cost=cost,
        repeats=repeats, **noted,  # type: ignore[arg-type]  # its fields
    )  # fmt: skip


A, B, C = waiter("a"), waiter("b"), waiter("c")

LINES = {
    "as many as fit": ([A, B, C], 2, ME, "ab"),
    "no room": ([A], 0, ME, ""),
    "no waiter is overtaken": ([waiter("a", cost=2), B], 1, ME, ""),
    "a wake-up on its way takes its room": ([waiter("a", by="x"), B, C], 2, ME, "b"),
    "it is not sent by another payer": ([waiter("a", by="x"), B], 1, AGAIN, ""),
    "one that entered takes no more room": ([waiter("in", by="x"), A], 1, ME, "a"),
    "a redelivery sends what its message owes": ([waiter("a", by="me"), B], 1, AGAIN, "a"),
    "to one that was handed its place too": ([waiter("in", by="me"), A], 0, AGAIN, "in"),
    "however often it comes back": ([waiter("a", by="me", repeats=3)], 1, AGAIN, "a"),
    "but once a delivery": ([waiter("a", by="me")], 1, PAID, ""),
    "a first delivery repairs what is not repaired yet": ([waiter("a", by="me")], 1, ME, "a"),
    "a copy of a message begets no third": ([waiter("a", by="me", repeats=1)], 1, ME, ""),
    "a client answers for nothing": ([waiter("a", by=""), B], 2, CLIENT, "b"),
}


@pytest.mark.parametrize(("line", "room", "account", "woken"), LINES.values(), ids=LINES)
def test_which_waiter_is_woken(line: list[Waiter], room: int, account: Account, woken: str) -> None:
    found = who_to_wake(line, inside={"in/t"}, room=room, account=account, most=10)
    assert "".join(each.sk for each in found) == woken


@pytest.mark.parametrize(
    ("queued_ms", "repeats", "after_ms"),
    [
        (0, 0, PATIENCE_MS),
        (1_000, 0, PATIENCE_MS),
        (600_000, 0, 1_200_000),
        (0, 1, 2 * PATIENCE_MS),
        (600_000, 2, 4_800_000),
    ],
)
def test_the_clock_is_patient_by_the_age_of_the_queue(queued_ms: int, repeats: int, after_ms: int) -> None:
    noted = replace(waiter("a", by="x", repeats=repeats), note_queued_ms=queued_ms)
    assert [overdue(noted, 100 + after_ms - 1), overdue(noted, 100 + after_ms)] == [False, True]
