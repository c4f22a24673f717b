"""An agent: a model that says what to do next, tools that do it, a question to a person, and a loop that survives any crash.

The model here is a few lines of Python, so that this runs anywhere; call yours in `think`. Each answer is kept: a model that is asked
once more would say something else.

Run it: python examples/agent_loop.py
"""

import ast
import operator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from headrace import Context, DurableContext, SleepCondition, UserEventCondition, or_
from quickstart import hatchet
from runtime import passing

PRICES = {"lamp": 40, "desk": 250}
OPERATIONS: dict[type[ast.operator], Any] = {ast.Add: operator.add, ast.Mult: operator.mul}


class Order(BaseModel):
    wish: str
    budget: int | None = None


class Transcript(BaseModel):
    lines: list[str]


class Call(BaseModel):
    tool: str
    argument: str


@hatchet.task(name="think", input_validator=Transcript, retries=3)
def think(input: Transcript, ctx: Context) -> Call:
    """What a model says to what has happened so far."""
    known = dict(line.split(" = ") for line in input.lines if " = " in line)
    for item in PRICES:
        if f"price {item}" not in known:
            return Call(tool="price", argument=item)
    if "sum" not in known:
        return Call(tool="sum", argument=f"{known['price desk']} + 2 * {known['price lamp']}")
    if "budget" not in known:
        return Call(tool="ask", argument=f"It costs {known['sum']}. What is your budget?")
    fits = int(known["sum"]) <= int(known["budget"])
    return Call(tool="answer", argument=f"{known['sum']} EUR {'fits' if fits else 'is too much'}")


@hatchet.task(name="use-tool", input_validator=Call, retries=3)
def use_tool(input: Call, ctx: Context) -> dict[str, str]:
    if input.tool == "price":
        return {"line": f"price {input.argument} = {PRICES[input.argument]}"}
    return {"line": f"sum = {_value(ast.parse(input.argument, mode='eval').body)}"}


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.BinOp):
        made: int = OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
        return made
    assert isinstance(node, ast.Constant)
    return int(str(node.value))


@hatchet.durable_task(name="agent", input_validator=Order)
async def agent(input: Order, ctx: DurableContext) -> dict[str, Any]:
    lines = [input.wish]
    for _ in range(10):
        call = Call.model_validate(await think.aio_run(Transcript(lines=lines)))
        if call.tool == "answer":
            return {"answer": call.argument, "steps": lines[1:]}
        if call.tool == "ask":
            said = UserEventCondition(event_key="agent:told", scope=ctx.workflow_run_id)
            found = await ctx.aio_wait_for("budget", or_(said, SleepCondition(timedelta(hours=8))))
            told = found["CREATE"].get("agent:told")
            lines.append(f"budget = {told[0]['budget'] if told else 0}")
        else:
            lines.append((await use_tool.aio_run(call))["line"])
    return {"answer": "no answer in 10 steps", "steps": lines[1:]}


def main() -> None:
    with passing(hatchet) as time:
        ref = agent.run(Order(wish="a desk and two lamps"), wait_for_result=False)
        time.settle()  # by now it asks
        hatchet.event.push("agent:told", {"budget": 350}, scope=ref.workflow_run_id)
        time.pass_by()
        result = ref.result()
        for step in result["steps"]:
            print(step)
        print(result["answer"])


if __name__ == "__main__":
    main()
