"""A journey is booked in steps; where one fails, what was booked before is taken back, in the opposite order.

Run it: python examples/saga.py
"""

from pydantic import BaseModel

from headrace import Context, DurableContext, NonRetryableException, TaskRunError
from quickstart import hatchet
from runtime import running


class Journey(BaseModel):
    traveller: str
    to: str


class Step(BaseModel):
    what: str
    journey: Journey


@hatchet.task(name="book", input_validator=Step, retries=2)
def book(input: Step, ctx: Context) -> dict[str, str]:
    if input.what == "car" and input.journey.to == "Venice":
        raise NonRetryableException("there are no cars in Venice")
    return {"booking": f"{input.what} to {input.journey.to}"}


@hatchet.task(name="cancel-booking", input_validator=Step, retries=10)
def cancel_booking(input: Step, ctx: Context) -> dict[str, str]:
    return {"cancelled": input.what}


@hatchet.durable_task(name="book-journey", input_validator=Journey)
async def book_journey(input: Journey, ctx: DurableContext) -> dict[str, list[str]]:
    """A crash anywhere loses nothing: the function runs again, and every step that was made is there, done."""
    booked: list[str] = []
    try:
        for what in ("flight", "hotel", "car"):
            await book.aio_run(Step(what=what, journey=input))
            booked.append(what)
    except TaskRunError as error:
        taken_back = []
        for what in reversed(booked):
            await cancel_booking.aio_run(Step(what=what, journey=input))
            taken_back.append(what)
        return {"booked": [], "taken_back": taken_back, "because": [str(error).splitlines()[-1]]}
    return {"booked": booked, "taken_back": []}


def main() -> None:
    with running(hatchet):
        for to in ("Rome", "Venice"):
            result = book_journey.run(Journey(traveller="ada", to=to))
            if result["booked"]:
                print(f"{to}: booked {', '.join(result['booked'])}")
            else:
                print(f"{to}: took back {', '.join(result['taken_back'])}: {result['because'][0]}")


if __name__ == "__main__":
    main()
