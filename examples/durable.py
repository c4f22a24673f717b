"""A parent that waits for its children without holding an invocation: the last child wakes it.

Run it: python examples/durable.py
"""

import asyncio

from pydantic import BaseModel

from headrace import Context, DurableContext
from quickstart import hatchet
from runtime import running


class Batch(BaseModel):
    size: int


class Page(BaseModel):
    number: int


@hatchet.task(name="render-page", input_validator=Page)
async def render_page(input: Page, ctx: Context) -> dict[str, int]:
    await asyncio.sleep(3 if input.number == 0 else 0)  # one page is slow
    return {"words": 100 + input.number}


@hatchet.durable_task(name="render-book", input_validator=Batch)
async def render_book(input: Batch, ctx: DurableContext) -> dict[str, int]:
    """Runs again from the top when it is woken: the same children are there, done."""
    items = [render_page.create_bulk_run_item(Page(number=number)) for number in range(input.size)]
    pages = await render_page.aio_run_many(items)
    return {"words": sum(page["words"] for page in pages), "invocations": ctx.invocation_count}


def main() -> None:
    with running(hatchet):
        book = render_book.run(Batch(size=20))
        print(
            f"{book['words']:,} words; the parent took {book['invocations']} invocations and held none while it waited"
        )


if __name__ == "__main__":
    main()
