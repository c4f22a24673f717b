"""Which waiters are woken, so that wake-ups cannot multiply.

A note on a waiter says that its message is owed or on its way. It holds until that message arrives, however long the queue is: a
look passes over a noted waiter and counts the room that it will take. The message on whose account a note was written owes the
send; if its handler dies in between, the next delivery of that message finds the note and sends again. A note that is not answered
for (a client that died, a zombie) is left to the clock: `overdue`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from headrace.core.values import dataclass

if TYPE_CHECKING:
    from headrace.core.waits.line import Waiter

PATIENCE_MS = 120_000
"""For how long the clock leaves a note alone, at least; it waits twice as long each time that it has sent again."""

MOST_DOUBLINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The message in hand, which answers for the notes written while it is handled. `message` is "" where there is none: a client,
    the clock. `queued_ms`: how long it waited in its queue. `sent`: the wake-ups of this delivery, each sent once. `inside`: by limit and
    member, the items of limits that this delivery has entered; `heirs`: the waiters that its places there go to."""

    message: str = ""
    redelivered: bool = False
    queued_ms: int = 0
    sent: set[tuple[str, str, int]] = field(default_factory=set)
    inside: dict[tuple[str, str], int] = field(default_factory=dict)
    heirs: dict[tuple[str, str], Waiter] = field(default_factory=dict)

    def forget_heirs(self, member: str) -> None:
        """The commit of a task did not take place, or named none."""
        for name in [each for each in self.heirs if each[1] == member]:
            self.heirs.pop(name, None)

    def repairs(self, waiter: Waiter) -> bool:
        """Whether the note is of an earlier delivery of this message, which may have died before it sent the wake-up.

        A first delivery repairs only what was not repaired yet: it may be one of two copies, and would make a third.
        """
        mine = bool(self.message) and waiter.woken_by == self.message and waiter.name not in self.sent
        return mine and (self.redelivered or not waiter.repeats)


def who_to_wake(
    waiters: Sequence[Waiter], *, inside: Container[str], room: int, account: Account, most: int
) -> list[Waiter]:
    """Of the head of a line: those whose wake-up this message owes, then as many new ones as fit, in order.

    `inside`: the members that hold a permit already, and have yet to leave the line. One that was handed its permit after it was noted may
    have got no message.
    """
    outside = [each for each in waiters if each.member not in inside]
    pending = [each for each in outside if each.woken_at_ms]
    owed = [each for each in waiters if each.woken_at_ms and account.repairs(each)]
    free = room - sum(each.cost for each in pending)
    return [*owed, *fitting([each for each in outside if not each.woken_at_ms], free)[:most]]


def room_for_more(waiters: Sequence[Waiter], *, inside: Container[str], room: int) -> bool:
    """Whether room is left once all of a line are in: each was woken."""
    outside = [each for each in waiters if each.member not in inside]
    return all(each.woken_at_ms for each in outside) and room > sum(each.cost for each in outside)


def fitting(waiters: Sequence[Waiter], room: int) -> list[Waiter]:
    """Those at the head that fit in together. One that does not fit is not overtaken."""
    out: list[Waiter] = []
    for waiter in waiters:
        if waiter.cost > room:
            break
        room -= waiter.cost
        out.append(waiter)
    return out


def overdue(waiter: Waiter, now_ms: int) -> bool:
    """Whether the clock may take the note for one whose message never came."""
    patience_ms = max(PATIENCE_MS, 2 * waiter.note_queued_ms)
    return now_ms - waiter.woken_at_ms >= patience_ms << min(waiter.repeats, MOST_DOUBLINGS)
