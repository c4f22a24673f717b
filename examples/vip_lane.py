"""Two slots, and customers who pay for priority: HIGH goes in ahead of LOW that came earlier. What runs is not stopped.

Run it: python examples/vip_lane.py
"""

import time

from pydantic import BaseModel

from headrace import Context, Priority
from quickstart import hatchet
from runtime import running
from timeline import bars, by_start, draw


class Parcel(BaseModel):
    number: int


@hatchet.task(name="ship", input_validator=Parcel)
def ship(input: Parcel, ctx: Context) -> dict[str, str]:
    time.sleep(0.8)
    return {"priority": Priority(ctx.priority).name}


# `slots` caps the worker over all of its invocations. Without it nothing waits, so there is nothing to order.
lane = hatchet.worker("lane", workflows=[ship], slots=2)


def main() -> None:
    priorities = [Priority.LOW] * 6 + [Priority.MEDIUM] + [Priority.HIGH] * 3
    with running(hatchet):
        runs = [
            ship.run(Parcel(number=number), wait_for_result=False, priority=priority)
            for number, priority in enumerate(priorities)
        ]
        for run in runs:
            run.result()
        labels = [f"{number} {priority.name}" for number, priority in enumerate(priorities)]
        rows = bars(hatchet, [(t, run.workflow_run_id) for t, run in zip(labels, runs, strict=True)])
    draw(rows)
    print("went in:", ", ".join(row.label for row in by_start(rows)))


if __name__ == "__main__":
    main()
