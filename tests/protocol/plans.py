"""Which plans are explored, and which mistakes must be found by which plan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from protocol.evictions import Evictions
from protocol.explore import Explorable
from protocol.model import Faults
from protocol.places import Places
from protocol.replays import ALL, ONLY_FAILED, Replays
from protocol.riding import Riding
from protocol.side_by_side import SideBySide
from protocol.suspension_values import BACK, EVENT, SLEEP, Program
from protocol.suspensions import Suspensions
from protocol.windows import Windows

Plan = Callable[..., Explorable]
"""Makes the model of a plan; `broken` names a mistake."""

ALONE = [
    Faults(),
    Faults(crash=1),
    Faults(dup=1),
    Faults(fail=1),
    Faults(cancel=1),
    Faults(zombie=1),
]
PAIRS = [
    Faults(crash=2),
    Faults(crash=1, dup=1),
    Faults(crash=1, fail=1),
    Faults(crash=1, cancel=1),
    Faults(dup=1, cancel=1),
    Faults(zombie=1, fail=1),
    Faults(zombie=1, cancel=1),
]


def _words(faults: Faults) -> str:
    given = [f"{getattr(faults, kind)} {kind}" for kind in Faults.__slots__ if getattr(faults, kind)]
    return ", ".join(given) or "no faults"


def _places(
    runs: int, *capacities: int, faults: Faults | None = None, stale: int = 0, heirs: bool = False
) -> Plan:
    return partial(Places, runs, capacities, faults, stale=stale, heirs=heirs)


def _replays(*calls: str, faults: Faults | None = None) -> Plan:
    return partial(Replays, *calls, faults=faults)


def _waits(*programs: Program, faults: Faults | None = None, early: int = 0, skews: int = 0) -> Plan:
    return partial(Suspensions, *programs, faults=faults, early=early, skews=skews)


def _each(name: str, make: Callable[[Faults], Plan], kinds: list[Faults]) -> dict[str, Plan]:
    return {f"{name}; {_words(faults)}": make(faults) for faults in kinds}


SLEEPS: Program = (((SLEEP,),),)
WAITS: Program = (((EVENT,),),)
WAITS_TWICE: Program = (((EVENT,),), ((EVENT,),))
LOOKS_BACK: Program = (((BACK,),),)
EITHER: Program = (((SLEEP, EVENT),),)
BOTH: Program = (((SLEEP,), (EVENT,)),)
EITHER_THEN_SLEEPS: Program = (((SLEEP, EVENT),), ((SLEEP,),))

PLANS: dict[str, Plan] = {
    **_each("one place, 2 runs", lambda faults: _places(2, 1, faults=faults), ALONE),
    "one place, 2 runs; 2 crash": _places(2, 1, faults=Faults(crash=2)),
    "one place, 2 runs; 1 crash, 1 cancel": _places(2, 1, faults=Faults(crash=1, cancel=1)),
    "one place, 3 runs; no faults": _places(3, 1),
    "one place, 3 runs, the last goes first; no faults": partial(Places, 3, (1,), last_first=True),
    "two places, 3 runs; no faults": _places(3, 2),
    "one place, 3 runs, the clock ticks twice; no faults": partial(Places, 3, (1,), ticks=2),
    **_each(
        "a place is handed over, 2 runs",
        lambda faults: _places(2, 1, faults=faults, heirs=True),
        [Faults(), Faults(crash=1), Faults(cancel=1), Faults(fail=1)],
    ),
    "one of two places is handed over, 3 runs; no faults": _places(3, 2, heirs=True),
    "places of gates of 1 and 2 are handed over, 2 runs; no faults": _places(2, 1, 2, heirs=True),
    "gates of 1 and 1, 2 runs; no faults": _places(2, 1, 1),
    "gates of 1 and 2, 2 runs; no faults": _places(2, 1, 2),
    "gates of 2 and 1, 2 runs; 1 crash": _places(2, 2, 1, faults=Faults(crash=1)),
    **_each("evicting, 2 runs", lambda faults: partial(Evictions, 2, 1, faults), [*ALONE, *PAIRS[:6]]),
    "retries that go on, 1 run; 2 crash, 1 dup, 2 fail": partial(Riding, 1, Faults(crash=2, dup=1, fail=2)),
    "retries that go on, 1 run; 1 crash, 1 zombie, 2 fail, 1 cancel": partial(
        Riding, 1, Faults(crash=1, zombie=1, fail=2, cancel=1)
    ),
    "3 tasks side by side; 3 crash, 1 dup": partial(SideBySide, 3, Faults(crash=3, dup=1)),
    "3 tasks side by side; 1 crash, 1 dup, 1 zombie": partial(
        SideBySide, 3, Faults(crash=1, dup=1, zombie=1)
    ),
    "evicting, 3 runs; no faults": partial(Evictions, 3, 1),
    "evicting, 3 runs; 1 crash": partial(Evictions, 3, 1, Faults(crash=1)),
    "evicting, 3 runs, 2 places; 1 dup": partial(Evictions, 3, 2, Faults(dup=1)),
    **_each("a unit a window, 2 runs", lambda faults: partial(Windows, (1, 1), 1, faults, early=0), ALONE),
    "a unit a window, 2 runs; 1 crash, 1 cancel": partial(
        Windows, (1, 1), 1, Faults(crash=1, cancel=1), early=0
    ),
    "a unit a window, 2 runs, time passes; no faults": partial(Windows, (1, 1), 1),
    "a unit a window, 2 runs, time passes; 1 cancel": partial(Windows, (1, 1), 1, Faults(cancel=1)),
    "a unit a window, 2 runs, time passes twice; no faults": partial(Windows, (1, 1), 1, early=2),
    "a unit a window, 3 runs; no faults": partial(Windows, (1, 1, 1), 1, early=0),
    "a unit a window, 3 runs; 1 crash": partial(Windows, (1, 1, 1), 1, Faults(crash=1), early=0),
    "two units a window, 3 runs, time passes; no faults": partial(Windows, (1, 1, 1), 2),
    "two units a window, 2 runs of 1 and 2; 1 crash": partial(Windows, (1, 2), 2, Faults(crash=1), early=0),
    **_each("replayed", lambda faults: _replays(ALL, faults=faults), ALONE),
    "replayed; 1 crash, 1 fail": _replays(ALL, faults=Faults(crash=1, fail=1)),
    "the failed tasks replayed; 1 crash, 1 fail": _replays(ONLY_FAILED, faults=Faults(crash=1, fail=1)),
    "replayed by two at once; no faults": _replays(ALL, ALL),
    **_each("a durable sleep", lambda faults: _waits(SLEEPS, faults=faults), ALONE),
    **_each("waits for an event", lambda faults: _waits(WAITS, faults=faults), ALONE[:5]),
    "waits for an event; 1 crash, 1 dup": _waits(WAITS, faults=Faults(crash=1, dup=1)),
    "waits for an event, clocks differ; 1 crash": _waits(WAITS, faults=Faults(crash=1), skews=1),
    **_each("waits twice for events", lambda faults: _waits(WAITS_TWICE, faults=faults), ALONE[:3]),
    "waits for an event and looks back; no faults": _waits(LOOKS_BACK),
    "waits for an event and looks back; 1 crash": _waits(LOOKS_BACK, faults=Faults(crash=1)),
    "a sleep, or an event; no faults": _waits(EITHER),
    "a sleep, or an event; 1 cancel": _waits(EITHER, faults=Faults(cancel=1)),
    "a sleep, or an event, clocks differ; no faults": _waits(EITHER, skews=1),
    "a sleep and an event; no faults": _waits(BOTH),
    "a sleep, or an event, then a sleep; no faults": _waits(EITHER_THEN_SLEEPS),
    "a durable sleep, clocks differ; 1 crash": _waits(SLEEPS, faults=Faults(crash=1), skews=1),
}
"""Explored to the end within the tests' budget."""

CUT_SHORT: dict[str, Plan] = {
    "two units a window, 3 runs of 2, 1, 1, time passes; no faults": partial(Windows, (2, 1, 1), 2),
    "one place, 4 runs of which 2 are stale; no faults": _places(4, 1, stale=2),
    "one place, 2 runs; 1 crash, 1 dup": _places(2, 1, faults=Faults(crash=1, dup=1)),
    "one place, 2 runs; 1 crash, 1 fail": _places(2, 1, faults=Faults(crash=1, fail=1)),
    "one place, 2 runs; 1 zombie, 1 fail": _places(2, 1, faults=Faults(zombie=1, fail=1)),
    "gates of 1 and 1, 2 runs; 1 crash": _places(2, 1, 1, faults=Faults(crash=1)),
    **_each(
        "a place is handed over, 2 runs",
        lambda faults: _places(2, 1, faults=faults, heirs=True),
        [
            Faults(dup=1),
            Faults(zombie=1),
            Faults(crash=2),
            Faults(crash=1, cancel=1),
            Faults(dup=1, cancel=1),
        ],
    ),
    "a place is handed over, 2 runs; 1 crash, 1 dup": _places(
        2, 1, faults=Faults(crash=1, dup=1), heirs=True
    ),
    "a place is handed over, 3 runs; 1 crash": _places(3, 1, faults=Faults(crash=1), heirs=True),
    "one of two places is handed over, 3 runs; 1 crash": _places(3, 2, faults=Faults(crash=1), heirs=True),
    "one of two places is handed over, 3 runs; 1 cancel": _places(3, 2, faults=Faults(cancel=1), heirs=True),
    "places of gates of 2 and 1 are handed over, 2 runs; 1 crash": _places(
        2, 2, 1, faults=Faults(crash=1), heirs=True
    ),
    "gates of 2 and 1, 3 runs; no faults": _places(3, 2, 1),
    "two places, 4 runs; no faults": _places(4, 2),
    "a unit a window, 2 runs, time passes; 1 crash": partial(Windows, (1, 1), 1, Faults(crash=1)),
    "a unit a window, 2 runs, time passes; 1 dup": partial(Windows, (1, 1), 1, Faults(dup=1)),
    "a unit a window, 3 runs, time passes; 1 crash": partial(Windows, (1, 1, 1), 1, Faults(crash=1)),
    "a unit a window, 3 runs; 1 crash, 1 cancel": partial(
        Windows, (1, 1, 1), 1, Faults(crash=1, cancel=1), early=0
    ),
    "replayed by two at once, one of them the failed tasks; 1 crash, 1 fail": _replays(
        ALL, ONLY_FAILED, faults=Faults(crash=1, fail=1)
    ),
    "replayed; 1 crash, 1 cancel": _replays(ALL, faults=Faults(crash=1, cancel=1)),
    "replayed; 1 zombie, 1 fail": _replays(ALL, faults=Faults(zombie=1, fail=1)),
    "waits for an event; 1 zombie": _waits(WAITS, faults=Faults(zombie=1)),
    "a sleep and an event, clocks differ; 1 crash": _waits(BOTH, faults=Faults(crash=1), skews=1),
    "two wait for an event, one of them or sleeps; no faults": _waits(WAITS, EITHER),
}
"""Too large for the tests, which explore their beginnings."""

HANDED_OVER = (
    "a place is handed over",
    "one of two places is handed over",
    "places of gates of 2 and 1 are handed over",
)
TO_THE_END: dict[str, Plan] = {
    **{
        name: plan
        for name, plan in CUT_SHORT.items()
        if name.startswith(HANDED_OVER) and "crash, 1 dup" not in name and "3 runs; 1 crash" not in name
    },
    "one place, 2 runs; 1 crash, 1 dup": CUT_SHORT["one place, 2 runs; 1 crash, 1 dup"],
    "waits twice for events, clocks differ; 1 crash, 1 dup": _waits(
        WAITS_TWICE, faults=Faults(crash=1, dup=1), skews=1
    ),
}
"""Two deliveries at once of which one dies, and places that are handed over: the tests of scale explore them to their ends."""

LARGER: dict[str, Plan] = {
    **CUT_SHORT,
    **TO_THE_END,
    **_each("a sleep and an event", lambda faults: _waits(BOTH, faults=faults), ALONE),
    **_each("a sleep and an event, time passes", lambda faults: _waits(BOTH, faults=faults, early=1), ALONE),
    **_each(
        "a sleep, or an event, then a sleep", lambda faults: _waits(EITHER_THEN_SLEEPS, faults=faults), ALONE
    ),
    **_each("one place, 2 runs", lambda faults: _places(2, 1, faults=faults), PAIRS),
    "two places, 3 runs; 1 crash": _places(3, 2, faults=Faults(crash=1)),
    "gates of 1 and 1, 3 runs; no faults": _places(3, 1, 1),
    "gates of 1 and 2, 2 runs; 1 crash": _places(2, 1, 2, faults=Faults(crash=1)),
    "evicting, 3 runs; 1 crash, 1 dup": partial(Evictions, 3, 1, Faults(crash=1, dup=1)),
    "evicting, 3 runs; 1 crash, 1 fail": partial(Evictions, 3, 1, Faults(crash=1, fail=1)),
    **_each(
        "a unit a window, 2 runs, time passes", lambda faults: partial(Windows, (1, 1), 1, faults), ALONE
    ),
    "a unit a window, 3 runs, time passes; no faults": partial(Windows, (1, 1, 1), 1),
}
"""For `python -m protocol`."""

DURABLE_FAULTS = Faults(crash=2, dup=1, zombie=1, fail=1, cancel=1)
WANDERED: dict[str, Plan] = {
    "three durable runs": _waits(
        BOTH, EITHER_THEN_SLEEPS, LOOKS_BACK, faults=DURABLE_FAULTS, early=2, skews=2
    ),
    "one place, 4 runs": _places(4, 1, faults=Faults(crash=2, dup=1, fail=1)),
    "gates of 2, 1 and 1, 4 runs": _places(4, 2, 1, 1, faults=Faults(crash=2, dup=1, fail=1)),
    "evicting, 5 runs, 2 places": partial(Evictions, 5, 2, Faults(crash=2, dup=2, fail=2)),
    "two units a window, 5 runs": partial(Windows, (1, 2, 1, 1, 1), 2, Faults(crash=2), early=2),
}
"""Too large to explore: followed along random ways."""

MUTATIONS: list[tuple[str, Plan]] = [
    ("release takes any ticket", _places(2, 1, faults=Faults(crash=1))),
    ("no baton", _places(4, 2)),
    ("no look after the mark", _places(2, 1)),
    ("the mark goes in one step", _places(4, 1, stale=2)),
    ("a mark that is taken away is a mark", _places(4, 1, stale=2)),
    ("the record does not name the heir", _places(2, 1, faults=Faults(crash=1), heirs=True)),
    ("tells an heir that another woke", _places(3, 2, heirs=True)),
    ("hands over to one that is in", _places(4, 2, heirs=True)),
    ("no repair of the heir", _places(2, 1, faults=Faults(crash=1), heirs=True)),
    ("refused, and put in all the same", _places(2, 1, faults=Faults(fail=1), heirs=True)),
    ("an heir that is over keeps the place", _places(2, 1, faults=Faults(fail=1), heirs=True)),
    ("a note expires", _places(3, 1)),
    ("the clock writes no note", partial(Places, 3, (1,), ticks=2)),
    ("a stale look trusts notes", _places(3, 2, faults=Faults(crash=1))),
    ("a takeover trusts notes", _places(3, 2, faults=Faults(crash=1))),
    ("clear whatever the mark", _places(4, 1, stale=2)),
    ("marks are counted", _places(4, 1, stale=2)),
    ("no repair of the waiter", _places(2, 1, faults=Faults(crash=1))),
    ("no clock", _places(2, 1, faults=Faults(crash=1, dup=1))),
    ("places kept while parked", _places(2, 2, 1)),
    ("newcomers overtake", _places(3, 1)),
    ("release takes any ticket", partial(Evictions, 2, 1, Faults(dup=1, fail=1))),
    ("victims not listed", partial(Evictions, 2, 1, Faults(crash=1))),
    ("victims not paid", partial(Evictions, 2, 1)),
    ("evicts any holder", partial(Evictions, 3, 1)),
    ("refill not sent again", partial(Windows, (1, 1), 1, Faults(crash=1), early=0)),
    (
        "refill sent again for parked records only",
        partial(Windows, (1, 1, 1), 1, Faults(crash=1, cancel=1), early=0),
    ),
    ("units are taken without a condition", partial(Windows, (1, 1), 1)),
    ("no repair of the waiter", partial(Windows, (1, 1), 1, Faults(crash=1), early=0)),
    ("newcomers overtake", partial(Windows, (2, 1, 1), 2)),
    ("no look after the mark", partial(Windows, (2, 1, 1), 2)),
    ("clear whatever the mark", partial(Windows, (1, 1, 1), 1)),
    ("close once", partial(Windows, (1, 1), 1, Faults(crash=1))),
    ("the schedule outlives the mark", partial(Windows, (1, 1), 1, Faults(crash=1))),
    ("the schedule moves first", partial(Windows, (1, 1), 1, Faults(crash=1), early=0)),
    ("the refill stops when it can serve all", partial(Windows, (1, 1), 1)),
    ("only the refill that is due counts", partial(Windows, (1, 1), 1)),
    ("who parks moves the schedule", partial(Windows, (1, 1, 1), 1)),
    ("tickets begin again", _replays(ALL, faults=Faults(dup=1))),
    ("write, then send", _replays(ALL, faults=Faults(crash=1))),
    ("any replay's message claims", _replays(ALL, ONLY_FAILED, faults=Faults(fail=1))),
    ("applied to whatever is over", _replays(ALL, faults=Faults(dup=1))),
    ("no redelivery repairs the write", _replays(ALL, faults=Faults(crash=1))),
    ("an end frees any generation's permit", _replays(ALL, faults=Faults(dup=1))),
    ("a retry is forgotten by its message", partial(Riding, 1, Faults(crash=1, fail=1))),
    ("a takeover forgets what it rides on", partial(Riding, 1, Faults(crash=2, fail=1))),
    ("one of them is enough", partial(SideBySide, 2, Faults(crash=1))),
    ("the first of them to end deletes the message", partial(SideBySide, 2, Faults(crash=1))),
    ("no look after the suspension", _waits(WAITS)),
    ("the order is not written", _waits(BOTH, faults=Faults(crash=1))),
    ("wakes before it writes", _waits(WAITS)),
    ("arming twice loses the event", _waits(WAITS, faults=Faults(crash=1))),
    ("a stale timer resumes", _waits(EITHER_THEN_SLEEPS)),
    ("looks back, then subscribes", _waits(LOOKS_BACK)),
    ("queries, then stores the event", _waits(LOOKS_BACK)),
    ("looks once", _waits(WAITS, faults=Faults(crash=1, dup=1))),
    ("two handle an event at once", _waits(WAITS, faults=Faults(crash=1, dup=1))),
    ("clocks are trusted", _waits(WAITS, faults=Faults(crash=1), skews=1)),
    ("an event is given again", _waits(WAITS_TWICE, faults=Faults(crash=1))),
    ("a retry forgets the log", _waits(WAITS, faults=Faults(fail=1))),
    ("a stale delivery repairs nothing", _waits(SLEEPS, faults=Faults(crash=1))),
]
"""A mistake, and a plan that finds it."""

FOUND_AT_RANDOM: list[tuple[str, Plan]] = [
    ("waits in two lines", _places(4, 2, 1, 1)),
    ("one gate remembered", _places(4, 1, 1)),
    ("a place that was handed over is kept", _places(5, 2, 1, heirs=True)),
    ("places kept while parked", _places(4, 2, 1, 1)),
]
"""A mistake, and a plan that is too large to explore, along whose random ways it is found."""
