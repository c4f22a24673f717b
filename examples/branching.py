"""A branch: of two tasks one is skipped, by what their parent found.

Run it: python examples/branching.py
"""

from pydantic import BaseModel

from headrace import Context, ParentCondition
from quickstart import hatchet
from runtime import running


class Order(BaseModel):
    cents: int


class Risk(BaseModel):
    score: int


branching = hatchet.workflow(name="order", input_validator=Order)


@branching.task()
def assess(input: Order, ctx: Context) -> Risk:
    return Risk(score=min(input.cents // 1000, 100))


@branching.task(parents=[assess], skip_if=[ParentCondition(parent=assess, expression="output.score > 50")])
def accept(input: Order, ctx: Context) -> dict[str, str]:
    return {"decision": "accepted at once"}


@branching.task(parents=[assess], skip_if=[ParentCondition(parent=assess, expression="output.score <= 50")])
def review(input: Order, ctx: Context) -> dict[str, str]:
    return {"decision": f"a person looks at it (risk {ctx.task_output(assess).score})"}


@branching.task(parents=[accept, review])
def notify(input: Order, ctx: Context) -> dict[str, str]:
    chosen = review if ctx.was_skipped(accept) else accept
    return {"message": f"{input.cents / 100:.2f}: {ctx.task_output(chosen)['decision']}"}


def main() -> None:
    with running(hatchet):
        for cents in (1999, 75000):
            print(branching.run(Order(cents=cents))["notify"]["message"])


if __name__ == "__main__":
    main()
