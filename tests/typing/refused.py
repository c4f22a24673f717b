"""What mypy --strict must refuse. Each line that says so is an error; see test_typing.py."""

from pydantic import BaseModel

import headrace
from headrace import Context, Headrace

hatchet = Headrace()


class In(BaseModel):
    n: int


class Other(BaseModel):
    s: str


@hatchet.task(input_validator=In)
def task(input: In, ctx: Context) -> In:
    return input


task.run(Other(s="x"))  # refused
task.run("text")  # refused
task.create_bulk_run_item(Other(s="x"))  # refused
number: int = task.run(In(n=1))  # refused
task.mock_run(Other(s="x"))  # refused


@hatchet.task(input_validator=In)  # refused
def wrong(input: Other, ctx: Context) -> In:
    return In(n=1)


flow = hatchet.workflow(name="flow", input_validator=In)
flow.run(Other(s="x"))  # refused


hatchet.taks(name="misspelt")  # refused
hatchet.runz.list()  # refused
headrace.Contxt()  # refused


# Options that there are not, each where it would be written.
task.run_no_wait(In(n=1), prio=9)  # refused
task.run(In(n=1), sticki=True)  # refused
task.create_bulk_run_item(In(n=1), prio=9)  # refused
hatchet.task(name="x", retrys=3)  # refused
hatchet.task(name="x", retries="3")  # refused
hatchet.durable_task(retrys=3)  # refused
hatchet.durable_task(slot_cost=3)  # refused
hatchet.workflow(name="x", descripton="")  # refused
flow.task(retrys=1)  # refused
flow.durable_task(retrys=1)  # refused
flow.on_failure_task(parents=[])  # refused
hatchet.worker("w", slot=1)  # refused
