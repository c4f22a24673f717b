"""A no-op on Headrace, its worker as a process."""

import os
import time

from headrace import Context, Headrace

app = Headrace()


@app.task(name="noop")
def noop(input: dict, ctx: Context) -> None:  # type: ignore[type-arg]  # the least that a task can declare
    with open(os.environ["OUT"], "a") as out:
        out.write(f"{input['sent']} {time.time()}\n")


worker = app.worker("bench", workflows=[noop])


def send(count: int) -> None:
    for _ in range(count):
        noop.run({"sent": time.time()}, wait_for_result=False)


if __name__ == "__main__":
    worker.start()
