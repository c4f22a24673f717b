"""One customer floods, the others are not delayed: a concurrency limit for each customer.

At most one export of a customer runs at a time. What waits holds no invocation and does not poll: the task that leaves wakes the
next one.

Run it: python examples/round_robin.py
"""

import time

from pydantic import BaseModel

from headrace import ConcurrencyExpression, ConcurrencyLimitStrategy, Context
from quickstart import hatchet
from runtime import running
from timeline import bars, draw


class Export(BaseModel):
    customer: str


@hatchet.task(
    name="export",
    input_validator=Export,
    concurrency=ConcurrencyExpression(
        expression="input.customer",
        max_runs=1,
        limit_strategy=ConcurrencyLimitStrategy.GROUP_ROUND_ROBIN,
    ),
)
def export(input: Export, ctx: Context) -> dict[str, str]:
    time.sleep(0.3)
    return {"file": f"{input.customer}.csv"}


def main() -> None:
    customers = ["acme"] * 8 + ["bob", "cleo"] + ["acme"] * 2 + ["bob", "cleo"]
    with running(hatchet):
        items = [export.create_bulk_run_item(Export(customer=customer)) for customer in customers]
        runs = export.run_many(items, wait_for_result=False)
        for run in runs:
            run.result()
        rows = bars(hatchet, [(c, r.workflow_run_id) for c, r in zip(customers, runs, strict=True)])
    draw(rows)
    for customer in dict.fromkeys(customers):
        waits = [row.waited_s for row in rows if row.label == customer]
        print(f"{customer}: {len(waits)} runs, waited {min(waits):.1f} to {max(waits):.1f} s")


if __name__ == "__main__":
    main()
