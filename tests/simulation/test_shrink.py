"""A failing seed is shrunk to few faults and clients, each of them needed, and the printed command replays it."""

from __future__ import annotations

import shlex
from functools import cache

import pytest

from simulation.__main__ import main
from simulation.mutations import mutated
from simulation.runner import Broken, Cut, CutSimulation, Numbers, broken_by
from simulation.shrink import LINES, Line, Shrunk, ToldSimulation, _at_most, _leave_out, retell, shrink
from simulation.world import Simulation

pytestmark = pytest.mark.simulation

SEEDS = 400
MISTAKES = (
    "a redelivered message repairs nothing",
    "a crashed chain forgets its riders",
)
WITHOUT_FAULTS = "a client overwrites the record"
"""A mistake that shows in many seeds with no fault at all."""


@cache
def shrunk(name: str) -> Shrunk:
    """The first seed that fails by that mistake with some of its faults, and without others or without some client."""
    with mutated(name):
        for seed in range(SEEDS):
            if broken_by(CutSimulation(seed, cut=Cut(seed=seed))) is not None:
                found = shrink(seed, seconds=5)
                if found is not None and found.after.faults and found.after.size < found.before.size:
                    return found
    raise AssertionError(
        f"{SEEDS} seeds, and none is shrunk to a part that needs a fault to show that {name}"
    )


def run(found: Shrunk, *, faults: frozenset[int], clients: frozenset[int]) -> Broken | None:
    """The same seed with these faults and clients, and no others."""
    cut = Cut(
        seed=found.cut.seed,
        suppressed=Numbers.all_but(faults),
        without_clients=Numbers.of(found.before.clients - clients),
    )
    return broken_by(CutSimulation(cut.seed, cut=cut))


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_left_fails_in_the_same_way(name: str) -> None:
    found = shrunk(name)
    with mutated(name):
        again = broken_by(CutSimulation(found.cut.seed, cut=found.cut))
    assert again == found.after
    assert found.after.kind == found.before.kind
    assert len(found.after.faults) <= len(found.before.faults)
    assert found.after.clients <= found.before.clients


@pytest.mark.parametrize("name", MISTAKES)
def test_every_fault_and_client_that_is_left_is_needed(name: str) -> None:
    found = shrunk(name)
    if not found.minimal:
        pytest.skip("the time was up before")
    faults, clients = found.after.faults, found.after.clients
    with mutated(name):
        others = [run(found, faults=faults - {fault}, clients=clients) for fault in faults]
        others += [run(found, faults=faults, clients=clients - {client}) for client in clients]
    assert found.after.kind not in {broken.kind for broken in others if broken is not None}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_printed_command_replays_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = shrunk(name)
    with mutated(name):
        story = retell(found.cut)
        assert story is not None
        assert story[-2] == f"=> {found.after.error}"
        assert story[-1] == f"replay: {found.cut.command}"
        assert sum("!! fault" in line for line in story) == len(found.after.faults)
        make, target, *variables = shlex.split(found.cut.command)
        options = dict(variable.split("=", 1) for variable in variables)
        status = main(["--seeds", options["SEEDS"], *options["SIMULATE_ARGS"].split()])
    assert (make, target) == ("make", "simulate")
    assert status == 1
    assert capsys.readouterr().out.splitlines() == story


def test_a_seed_that_fails_prints_what_is_left_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with mutated(WITHOUT_FAULTS):
        assert main(["--seeds", f"0:{SEEDS}"]) == 1
    printed = capsys.readouterr().out
    assert "shrunk from" in printed
    assert "replay: make simulate SEEDS=" in printed
    assert len(printed.splitlines()) <= LINES + 20


def test_a_seed_that_holds_has_nothing_to_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert shrink(0) is None
    assert retell(Cut(seed=0)) is None
    assert main(["--seeds", "0", "--suppress", "1-"]) == 0
    assert capsys.readouterr().out == "seed 0 --suppress 1-: all held\n"


def test_no_time_leaves_the_seed_as_it_is() -> None:
    name = MISTAKES[0]
    with mutated(name):
        found = shrink(shrunk(name).cut.seed, seconds=0)
    assert found is not None
    assert found.after == found.before
    assert not found.minimal


@pytest.mark.parametrize(
    "needed", [(), (0,), (19,), (3, 11), (0, 1, 2, 17, 18, 19), tuple(range(0, 20, 2)), tuple(range(20))]
)
def test_what_is_needless_is_left_out(needed: tuple[int, ...]) -> None:
    left = frozenset(range(20))

    def needless(part: frozenset[int]) -> bool:
        nonlocal left
        if set(needed) & part:
            return False
        left -= part
        return True

    _leave_out(lambda: left, needless)
    assert left == set(needed)


def test_what_becomes_needless_later_is_left_out_too() -> None:
    """0 and 2 are needed, and 3 while 1 is there."""
    left = frozenset(range(4))

    def needless(part: frozenset[int]) -> bool:
        nonlocal left
        kept = left - part
        if not kept >= {0, 2} or (1 in kept and 3 not in kept):
            return False
        left = kept
        return True

    _leave_out(lambda: left, needless)
    assert left == {0, 2}


# ---------------------------------------------------------------- a part of a seed


@pytest.mark.parametrize("seed", range(4))
def test_neither_an_empty_cut_nor_telling_changes_anything(seed: int) -> None:
    whole = Simulation(seed, trace=True).run()
    for sim in (
        CutSimulation(seed, trace=True, cut=Cut(seed=seed)),
        ToldSimulation(seed, trace=True, cut=Cut(seed=seed)),
    ):
        assert sim.run().log == whole.log
        assert sim.faults == whole.faults


def test_a_suppressed_fault_is_drawn_all_the_same() -> None:
    seen = 0
    for seed in range(10):
        whole = Simulation(seed, trace=True).run().log
        sim = CutSimulation(seed, trace=True, cut=Cut(seed=seed, suppressed=Numbers.parse("0"))).run()
        first = next((n for n, line in enumerate(whole) if "!!" in line), None)
        if first is not None:
            assert sim.log[: first + 1] == [*whole[:first], f"{whole[first]} (suppressed)"]
            seen += 1
    assert seen > 3


def test_a_client_left_out_does_nothing() -> None:
    for seed in range(4):
        sim = CutSimulation(seed, trace=True, cut=Cut(seed=seed, without_clients=Numbers.parse("0")))
        assert not any("client 0" in line for line in sim.run().log)


@pytest.mark.parametrize(
    ("numbers", "text", "inside", "outside"),
    [
        (Numbers(), "", (), (0, 7)),
        (Numbers.of({3, 5}), "3,5", (3, 5), (4, 6)),
        (Numbers.all_but({7}), "0-6,8-", (0, 6, 8, 900), (7,)),
        (Numbers.all_but({0, 2, 3}), "1,4-", (1, 4, 5), (0, 2, 3)),
        (Numbers.all_but(()), "0-", (0, 900), ()),
    ],
)
def test_numbers(numbers: Numbers, text: str, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    assert str(numbers) == text
    assert Numbers.parse(text) == numbers
    assert all(number in numbers for number in inside)
    assert not any(number in numbers for number in outside)


ID, OTHER = "95c26ff8-b9bf-4bcb-a1cb-9068a7c0350e", "b34115f6-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f"Violation: t1 of run {ID} ran 4 times", f"Violation: t3 of run {OTHER} ran 2 times", True),
        (f"run {ID} is not over: {{'t1': 'QUEUED'}}", "run x is not over: {'t1': 'QUEUED'}", False),
        ("not over: {'t1': 'QUEUED', 't2': 'QUEUED'}", "not over: {'t4': 'QUEUED'}", True),
        ("not over: {'t1': 'QUEUED'}", "not over: {'t1': 'PARKED'}", False),
        ("not over: {'t1': 'QUEUED', 'c': 'QUEUED'}", "not over: {'t1': 'QUEUED'}", False),
        ("Violation: 3 messages are left", "AssertionError: 3 messages are left", False),
    ],
)
def test_what_fails_in_the_same_way(one: str, other: str, same: bool) -> None:
    first, second = (Broken(error=error, faults=frozenset(), clients=frozenset()) for error in (one, other))
    assert (first.kind == second.kind) is same


@pytest.mark.parametrize(
    ("count", "faults", "kept"),
    [
        (6, (), "0 1 2 3 4 5"),
        (7, (), "0 1 … 3 4 5 6"),
        (20, (9,), "0 … 9 … 16 17 18 19"),
        (9, tuple(range(8)), "0 1 2 3 4 5 6 7 …"),
    ],
)
def test_a_long_story_keeps_its_beginning_its_end_and_its_faults(
    count: int, faults: tuple[int, ...], kept: str
) -> None:
    lines = [Line(text=str(n), who=None, runs=frozenset(), is_fault=n in faults) for n in range(count)]
    assert " ".join(line.strip() for line in _at_most(6, lines)) == kept
