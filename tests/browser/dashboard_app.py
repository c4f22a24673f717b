"""What the browser is shown: an app on the local runtime, with runs of every kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace import Context, DurableContext, EmptyModel, Hatchet
from headrace_infra.testing import local

if TYPE_CHECKING:
    from headrace_infra.local.stack import LocalStack

ATTACK = '<script>document.title="owned"</script><img src=x onerror=alert(1)>'


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The app, its stack and its runs by what became of them."""

    hatchet: Hatchet
    stack: LocalStack
    ids: Mapping[str, str]

    def start_waiting(self) -> str:
        """A run that stays queued until the stack is drained."""
        return self.hatchet.runs.create("greet", {"name": "later"}).run.metadata.id


def app() -> Hatchet:
    """A task that greets, or fails with markup in its words; a workflow; and a durable task."""
    hatchet = Hatchet()

    @hatchet.task(name="greet", on_events=["order:*"])
    def greet(input: dict, ctx: Context) -> dict:  # type: ignore[type-arg]
        ctx.log(f"hello {input.get('name')}")
        if input.get("fail"):
            raise RuntimeError(ATTACK)
        return {"greeting": f"hello {input.get('name')}"}

    flow = hatchet.workflow(name="flow")

    @flow.task()
    def fetch(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 1}

    @flow.task(parents=[fetch])
    def resize(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 2}

    @flow.task(parents=[fetch])
    def label(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 3}

    @flow.task(parents=[resize, label])
    def store(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"n": 4}

    @hatchet.durable_task(name="order")
    async def order(input: EmptyModel, ctx: DurableContext) -> dict[str, int]:
        await ctx.aio_sleep_for("1h")
        await ctx.aio_sleep_for("2h")
        return {"invocations": ctx.invocation_count}

    hatchet.worker("main", workflows=[greet, flow, order])
    return hatchet


@contextmanager
def shown() -> Iterator[Shown]:
    """The app with a run that was good, one that failed, one of the workflow and one of a durable task."""
    hatchet = app()
    with local(hatchet, backend="memory", background=False) as stack:
        hatchet._publish()
        made = {
            "good": hatchet.runs.create("greet", {"name": "Ann"}, additional_metadata={"customer": "ann"}),
            "bad": hatchet.runs.create(
                "greet", {"name": ATTACK, "fail": True}, additional_metadata={"x": ATTACK}
            ),
            "flow": hatchet.runs.create("flow", {}),
            "order": hatchet.runs.create("order", {}),
        }
        stack.drain()
        ids = {name: details.run.metadata.id for name, details in made.items()}
        yield Shown(hatchet=hatchet, stack=stack, ids=ids)
