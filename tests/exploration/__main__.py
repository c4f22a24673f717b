"""Explore the plans: `python -m exploration`; some of them: `--only "one place"`; longer: `--states 5000000`."""

from __future__ import annotations

import argparse
import sys
import time

from exploration.mutations import MUTATIONS, mutated
from exploration.plans import ALL, WANDERED
from exploration.search import explore, wander


def main() -> int:
    parser = argparse.ArgumentParser(prog="exploration", description=__doc__)
    parser.add_argument("--only", default="", help="plans whose name holds this")
    parser.add_argument("--states", type=int, default=1_000_000, help="how many states of a plan, at most")
    parser.add_argument("--steps", type=int, default=200_000, help="how many random steps of a plan")
    parser.add_argument("--seed", type=int, default=1, help="of the random ways")
    parser.add_argument("--mistakes", action="store_true", help="how each mistake goes wrong, step by step")
    options = parser.parse_args()
    if options.mistakes:
        for mistake, (mutation, plan) in MUTATIONS.items():
            with mutated(mutation):
                print(f"{mistake}: {explore(plan, limit=options.states)}", flush=True)
        return 0
    failed = 0
    for name, plan in ALL.items():
        if options.only in name:
            began = time.monotonic()
            result = explore(plan, limit=options.states)
            failed += not result.holds
            print(f"{name}: {result} ({time.monotonic() - began:.0f} s)", flush=True)
    for name, plan in WANDERED.items():
        if options.only in name:
            result = wander(plan, seed=options.seed, steps=options.steps)
            failed += not result.holds
            print(f"{name}, at random: {result}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
