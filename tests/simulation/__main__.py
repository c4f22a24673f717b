"""Run seeds: `python -m simulation --seeds 0:200`; replay one in words: `--seeds 17 --trace`.

A seed that fails is shrunk to few faults and clients, told in words, with the options that replay it. With `--trace` it is
told whole. `--harsh` makes faults three times as frequent: what fails is told as it happened, and is not shrunk.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from rich.progress import Progress

from simulation.processes import Rates
from simulation.runner import Cut, Failure, Numbers, simulate
from simulation.shrink import explain, retell

HARSH = Rates(kill=0.03, freeze=0.01, throttle=0.02, lost=0.02, retried=0.03, duplicate=0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:500", help="one seed, or first:last+1")
    parser.add_argument("--seconds", type=float, default=None, help="stop after so long")
    parser.add_argument("--harsh", action="store_true", help="faults three times as frequent")
    parser.add_argument("--trace", action="store_true", help="print what happens, step by step")
    parser.add_argument(
        "--suppress", type=Numbers.parse, default=Numbers(), help="faults to leave out: 3,5-9"
    )
    parser.add_argument(
        "--without-clients", type=Numbers.parse, default=Numbers(), help="clients to leave out"
    )
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition(":")
    seeds = range(int(first), int(last) if last else int(first) + 1)
    if options.suppress.ranges or options.without_clients.ranges:
        cut = Cut(seed=seeds[0], suppressed=options.suppress, without_clients=options.without_clients)
        return _replay(cut, whole=options.trace)
    return _run(seeds, seconds=options.seconds, trace=options.trace, harsh=options.harsh)


def _replay(cut: Cut, *, whole: bool) -> int:
    """One seed without some of its faults and clients."""
    story = retell(cut, whole=whole)
    print("\n".join(story) if story else f"seed {cut.seed} {cut.options}: all held")
    return 1 if story else 0


def _run(seeds: range, *, seconds: float | None, trace: bool, harsh: bool) -> int:
    faults: Counter[str] = Counter()
    runs = steps = done = 0
    began, cpu_began_s = time.monotonic(), time.process_time()
    with Progress(transient=True) as progress:
        bar = progress.add_task("simulating", total=len(seeds))
        for seed in seeds:
            try:
                sim = simulate(seed, trace=trace, rates=HARSH if harsh else Rates())
            except Failure as failure:
                if harsh:
                    progress.stop()
                    print(f"{failure} SIMULATE_ARGS=--harsh")
                    return 1
                progress.update(bar, description=f"shrinking seed {seed}")
                story = "\n".join(retell(Cut(seed=seed), whole=True) or ()) if trace else explain(seed)
                progress.stop()
                print(story or f"{failure}\nrun again, seed {seed} holds: it is not the whole of its world")
                return 1
            faults.update(sim.faults)
            runs, steps, done = runs + sim.asked, steps + sim.steps, done + 1
            progress.advance(bar)
            if seconds is not None and time.monotonic() - began > seconds:
                break
            if trace:
                print("\n".join(sim.log))
    spent_s = time.monotonic() - began
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(faults.items()))
    print(
        f"{done} seeds, {runs} runs, {steps} steps, {faults.total()} faults ({kinds}) in {spent_s:.0f} s: all held"
    )
    cpu_s = time.process_time() - cpu_began_s
    print(f"{faults.total() / cpu_s * 3600:,.0f} faults an hour of a core: it took {cpu_s:.0f} s of one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
