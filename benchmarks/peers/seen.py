"""What a peer's task does in the benchmark: note when its code began."""

import os
import time

OUT = os.environ["OUT"]


def noop_ran(sent: float) -> None:
    with open(OUT, "a") as out:
        out.write(f"{sent} {time.time()}\n")


def step_ran(chain: str, number: int) -> None:
    """A step of a chain of ten: `sent` is the chain's name, so that a chain's steps can be told from another's."""
    with open(f"{OUT}.steps", "a") as out:
        out.write(f"{chain} {number} {time.time()}\n")
