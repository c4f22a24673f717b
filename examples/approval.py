"""A person decides: the run waits for their answer for days, and goes to a deputy where none comes.

Run it: python examples/approval.py
"""

from datetime import timedelta

from pydantic import BaseModel

from headrace import DurableContext, SleepCondition, UserEventCondition, or_
from quickstart import hatchet
from runtime import passing


class Expense(BaseModel):
    id: str
    euros: int
    day: timedelta  # how long a day is


class Decision(BaseModel):
    expense: str
    approved: bool
    by: str


@hatchet.durable_task(name="approve-expense", input_validator=Expense)
async def approve_expense(input: Expense, ctx: DurableContext) -> dict[str, str]:
    """Each waits for its own answer: the expression picks the event whose payload is about this expense."""
    for approver in ("the team lead", "the head of finance"):
        answer = UserEventCondition(
            event_key="expense:decided",
            expression=f"input.expense == '{input.id}'",
            readable_data_key="answer",
        )
        silence = SleepCondition(2 * input.day, readable_data_key="silence")
        found = (await ctx.aio_wait_for(f"decision of {approver}", or_(answer, silence)))["CREATE"]
        if "answer" in found:
            decision = Decision.model_validate(found["answer"][0])
            return {"outcome": "approved" if decision.approved else "refused", "by": decision.by}
    return {"outcome": "refused", "by": "no one in 4 days"}


def main() -> None:
    with passing(hatchet) as time:
        expenses = [("E1", 120), ("E2", 9_500), ("E3", 60)]
        refs = {
            id: approve_expense.run(Expense(id=id, euros=euros, day=time.day), wait_for_result=False)
            for id, euros in expenses
        }
        time.settle()  # all three wait by now
        hatchet.event.push("expense:decided", {"expense": "E1", "approved": True, "by": "ada"})
        hatchet.event.push("expense:decided", {"expense": "E2", "approved": False, "by": "grace"})
        time.pass_by()
        for id, euros in expenses:
            result = refs[id].result()
            print(f"{id} ({euros:,} EUR): {result['outcome']} by {result['by']}")


if __name__ == "__main__":
    main()
