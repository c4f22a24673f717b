"""Explore the larger plans: `python -m protocol`; some of them: `--only evicting`; those of the tests too: `--all`."""

from __future__ import annotations

import argparse
import sys
import time

from protocol.explore import explore, wander
from protocol.plans import LARGER, MUTATIONS, PLANS, WANDERED


def main() -> int:
    parser = argparse.ArgumentParser(prog="protocol", description=__doc__)
    parser.add_argument("--only", default="", help="plans whose name holds this")
    parser.add_argument("--states", type=int, default=3_000_000, help="how many states of a plan, at most")
    parser.add_argument("--steps", type=int, default=2_000_000, help="how many random steps of a plan")
    parser.add_argument("--all", action="store_true", help="the tests' plans too")
    parser.add_argument("--mistakes", action="store_true", help="how each mistake goes wrong, step by step")
    options = parser.parse_args()
    if options.mistakes:
        for mistake, plan in MUTATIONS:
            print(f"{mistake}: {explore(plan(broken=mistake), limit=options.states)}", flush=True)
        return 0
    failed = 0
    for name, plan in {**(PLANS if options.all else {}), **LARGER}.items():
        if options.only in name:
            began = time.monotonic()
            result = explore(plan(), limit=options.states)
            failed += not result.holds
            print(f"{name}: {result} ({time.monotonic() - began:.0f} s)", flush=True)
    for name, plan in WANDERED.items():
        if options.only in name:
            result = wander(plan(), seed=1, steps=options.steps)
            failed += not result.holds
            print(f"{name}, at random: {result}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
