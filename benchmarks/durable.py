"""How a durable task's CPU grows with its operations, and what a replay of a long one takes.

    python benchmarks/durable.py [--rounds 100 --width 100]

On the memory ports, in one process, as a worker runs tasks: suspended code goes on where it stands. Twice as many waits, or rounds of
children, are to cost twice the CPU: sizes take turns, and what is compared is the median of the ratios. Exit code 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "handlers", "infra", "tests")]

from support.durable import DurableWorld
from support.fan_out import fan_out
from support.metered import MeteredStore

from headrace import DurableContext, EmptyModel, Hatchet
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus
from headrace.memory.store import MemoryStore

TURNS = 5
WAITS = 100
ROUNDS, WIDTH = 8, 25
OPERATIONS = 1_000
MOST_GROWTH, MOST_REPLAY_MS, MOST_REPLAY_UNITS = 2.3, 100.0, 12


def waits(count: int) -> Hatchet:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> None:
        for _ in range(count):
            await ctx.aio_sleep_for("1m")

    return hatchet


def memos(count: int) -> Hatchet:
    hatchet = Hatchet()

    @hatchet.durable_task()
    async def parent(input: EmptyModel, ctx: DurableContext) -> None:
        for _ in range(count):
            await ctx.aio_now()
        await ctx.aio_sleep_for("10m")

    return hatchet


def world(app: Hatchet, *, keeps_code: bool, store: type[MemoryStore] = MemoryStore) -> DurableWorld:
    return DurableWorld(plans={}, code={}, of=app, keeps_code=keeps_code, store_type=store)


def cpu_ms(app: Hatchet, *, keeps_code: bool = True) -> float:
    """Of a run of the task `parent`, from its start to its end."""
    w = world(app, keeps_code=keeps_code)
    run_id = w.begin("parent")
    began = time.process_time()
    w.drain(limit=10**6)
    took_ms = (time.process_time() - began) * 1000
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    return took_ms


def replay() -> tuple[float, float]:
    """CPU (ms) and read units of the invocation that runs a task again whose log has a thousand operations."""
    w = world(memos(OPERATIONS), keeps_code=False, store=MeteredStore)
    run_id = w.begin("parent")
    w.deliver_next()
    w.clock.advance(600_000)
    units = cast(MeteredStore, w.store).units
    units.clear()
    began = time.process_time()
    w.deliver_next()
    took_ms = (time.process_time() - began) * 1000
    assert run_status(w.record(run_id)) is RunStatus.COMPLETED
    return took_ms, units["read"]


def growth(small: Callable[[], float], large: Callable[[], float]) -> tuple[float, float, float]:
    """The medians of both, and of the ratios of the turns."""
    turns = [(small(), large()) for _ in range(TURNS)]
    ratios = [b / a for a, b in turns]
    return (
        statistics.median(a for a, _ in turns),
        statistics.median(b for _, b in turns),
        statistics.median(ratios),
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--rounds", type=int, default=0, help="also one task of so many rounds of --width children"
    )
    parser.add_argument("--width", type=int, default=100)
    options = parser.parse_args()
    cpu_ms(waits(3))  # what is imported is imported
    missed: list[str] = []

    def judge(what: str, shown: str, reached: float, aim: float) -> None:
        print(
            f"| {what} | {shown} | {reached:,.2f} | at most {aim:g} | {'' if reached <= aim else '**missed**'} |"
        )
        if reached > aim:
            missed.append(what)

    print("| a durable task | CPU, ms | reached | | |\n|---|---:|---:|---:|---|")
    shapes: dict[str, Callable[[int], Any]] = {
        f"{2 * WAITS} waits ÷ {WAITS}": lambda times: waits(times * WAITS),
        f"{2 * ROUNDS} rounds of {WIDTH} children ÷ {ROUNDS}": lambda times: fan_out(times * ROUNDS, WIDTH),
    }
    for name, made in shapes.items():
        less, more, ratio = growth(lambda made=made: cpu_ms(made(1)), lambda made=made: cpu_ms(made(2)))  # type: ignore[misc]  # now
        judge(name, f"{more:,.0f} ÷ {less:,.0f}", ratio, MOST_GROWTH)
    replays = [replay() for _ in range(TURNS)]
    took_ms = statistics.median(ms for ms, _ in replays)
    judge(f"a replay of {OPERATIONS:,} operations, ms", f"{took_ms:,.0f}", took_ms, MOST_REPLAY_MS)
    judge("its read units", "", max(units for _, units in replays), MOST_REPLAY_UNITS)
    if options.rounds:
        whole = cpu_ms(fan_out(options.rounds, options.width))
        children = options.rounds * options.width
        print(
            f"| {options.rounds} rounds of {options.width} children, ms a child | {whole:,.0f} | {whole / children:.2f} | | |"
        )
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
