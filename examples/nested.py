"""A task that runs other tasks: each child is a run of its own, linked to its parent and remembered over retries.

Run it: python examples/nested.py
"""

from pydantic import BaseModel

from headrace import Context
from quickstart import hatchet
from runtime import running


class Numbers(BaseModel):
    numbers: list[int]


class Number(BaseModel):
    number: int


class Total(BaseModel):
    total: int


@hatchet.task(name="square", input_validator=Number)
async def square(input: Number, ctx: Context) -> Number:
    return Number(number=input.number**2)


@hatchet.task(name="sum-of-squares", input_validator=Numbers, retries=1)
async def sum_of_squares(input: Numbers, ctx: Context) -> Total:
    squares = await square.aio_run_many(
        [square.create_bulk_run_item(input=Number(number=number)) for number in input.numbers]
    )
    if ctx.retry_count == 0:
        raise ConnectionError("lost my connection after all children had finished")
    return Total(total=sum(each.number for each in squares))


def main() -> None:
    with running(hatchet):
        run = sum_of_squares.run(
            Numbers(numbers=[1, 2, 3, 4]), wait_for_result=False, additional_metadata={"example": "nested"}
        )
        print("sum of squares:", run.result().total)
        children = hatchet.runs.list(additional_metadata={"example": "nested"}, limit=50).rows
        print(
            "child runs, though the parent ran twice:",
            sum(child.workflow_name == "square" for child in children),
        )


if __name__ == "__main__":
    main()
