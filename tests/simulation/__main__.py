"""Run seeds: `python -m simulation --seeds 0:200`; replay one in words: `--seeds 17 --trace`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from rich.progress import Progress

from simulation.runner import Failure, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:500", help="one seed, or first:last+1")
    parser.add_argument("--seconds", type=float, default=None, help="stop after so long")
    parser.add_argument("--trace", action="store_true", help="print what happens, step by step")
    options = parser.parse_args()
    first, _, last = options.seeds.partition(":")
    seeds = range(int(first), int(last) if last else int(first) + 1)
    faults: Counter[str] = Counter()
    runs = steps = done = 0
    began = time.monotonic()
    with Progress(transient=True) as progress:
        bar = progress.add_task("simulating", total=len(seeds))
        for seed in seeds:
            try:
                sim = simulate(seed, trace=options.trace)
            except Failure as failure:
                progress.stop()
                print(failure)
                return 1
            faults.update(sim.faults)
            runs, steps, done = runs + sim.asked, steps + sim.steps, done + 1
            progress.advance(bar)
            if options.seconds is not None and time.monotonic() - began > options.seconds:
                break
            if options.trace:
                print("\n".join(sim.log))
    seconds = time.monotonic() - began
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(faults.items()))
    print(
        f"{done} seeds, {runs} runs, {steps} steps, {faults.total()} faults ({kinds}) in {seconds:.0f} s: all held"
    )
    print(f"{faults.total() / seconds * 3600:,.0f} faults an hour")
    return 0


if __name__ == "__main__":
    sys.exit(main())
