"""Asks again and again until something is done, less and less often, and holds no function in between.

Run it: python examples/polling.py
"""

from datetime import timedelta

from pydantic import BaseModel

from headrace import Context, DurableContext
from quickstart import hatchet
from runtime import passing


class Export(BaseModel):
    id: str
    ready_after: int  # looks until it is ready
    minute: timedelta  # how long a minute is


class Look(BaseModel):
    export: Export
    number: int


@hatchet.task(name="look-at-export", input_validator=Look, retries=3)
def look_at_export(input: Look, ctx: Context) -> dict[str, bool]:
    """Call the other system here."""
    return {"ready": input.number >= input.export.ready_after}


@hatchet.durable_task(name="wait-for-export", input_validator=Export)
async def wait_for_export(input: Export, ctx: DurableContext) -> dict[str, int]:
    began, minutes = await ctx.aio_now(), 1.0
    for number in range(1, 20):
        if (await look_at_export.aio_run(Look(export=input, number=number)))["ready"]:
            took = (await ctx.aio_now() - began) / input.minute
            return {"looks": number, "minutes": round(took)}
        await ctx.aio_sleep_for(minutes * input.minute)
        minutes = min(minutes * 2, 60)
    raise TimeoutError(f"export {input.id} is not ready after 19 looks")


def main() -> None:
    with passing(hatchet) as time:
        export = Export(id="X9", ready_after=9, minute=time.day / (24 * 60))
        ref = wait_for_export.run(export, wait_for_result=False)
        time.pass_by()
        result = ref.result()
        print(f"ready after {result['looks']} looks and {result['minutes']} minutes")


if __name__ == "__main__":
    main()
