"""Search as you type: only the answer to the last query matters, so a newer query cancels the older one of its user.

Run it: python examples/newest_wins.py
"""

import asyncio
import time

from pydantic import BaseModel

from headrace import ConcurrencyExpression, ConcurrencyLimitStrategy, Context
from quickstart import hatchet
from runtime import running
from timeline import bars, draw


class Query(BaseModel):
    user: str
    text: str


@hatchet.task(
    name="search",
    input_validator=Query,
    concurrency=ConcurrencyExpression(
        expression="input.user",
        max_runs=1,
        limit_strategy=ConcurrencyLimitStrategy.CANCEL_IN_PROGRESS,
    ),
)
async def search(input: Query, ctx: Context) -> dict[str, str]:
    await asyncio.sleep(0.8)
    return {"answer": f"all about {input.text}"}


def main() -> None:
    typed = [("ada", "h"), ("bob", "cat"), ("ada", "he"), ("ada", "head"), ("ada", "headrace")]
    with running(hatchet):
        runs = []
        for user, text in typed:
            runs.append(search.run(Query(user=user, text=text), wait_for_result=False))
            time.sleep(0.25)
        for (user, text), run in zip(typed, runs, strict=True):
            try:
                print(f"{user} typed {text!r}: {run.result()['answer']}")
            except ValueError:  # what a cancelled run's result raises
                print(f"{user} typed {text!r}: {hatchet.runs.get_status(run.workflow_run_id).value}")
        labels = [f"{user}: {text}" for user, text in typed]
        draw(bars(hatchet, [(t, run.workflow_run_id) for t, run in zip(labels, runs, strict=True)]))


if __name__ == "__main__":
    main()
