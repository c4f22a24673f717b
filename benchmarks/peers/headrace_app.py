"""A no-op and a chain of ten steps on Headrace, its worker as a process."""

import time
import uuid
from typing import Any

from seen import noop_ran, step_ran

from headrace import Context, Headrace

app = Headrace()


@app.task(name="noop")
def noop(input: dict, ctx: Context) -> None:  # type: ignore[type-arg]  # the least that a task can declare
    noop_ran(input["sent"])


chain = app.workflow(name="chain")


def add(number: int, parents: list[Any]) -> Any:
    @chain.task(name=f"step{number}", parents=parents)
    def step(input: dict, ctx: Context) -> dict[str, int]:  # type: ignore[type-arg]
        step_ran(input["name"], number)
        return {"n": number}

    return step


last: list[Any] = []
for number in range(10):
    last = [add(number, last)]

worker = app.worker("bench", workflows=[noop, chain])


def send(count: int) -> None:
    for _ in range(count):
        noop.run({"sent": time.time()}, wait_for_result=False)


def send_chains(count: int, pause_s: float) -> None:
    for _ in range(count):
        chain.run({"name": uuid.uuid4().hex}, wait_for_result=False)
        time.sleep(pause_s)


if __name__ == "__main__":
    worker.start()
