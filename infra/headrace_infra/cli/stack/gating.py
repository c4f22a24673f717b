"""`headrace gates`: the holders of limits, the tasks that wait at them, and for how long."""

from __future__ import annotations

import dataclasses

from rich.markup import escape
from rich.table import Table

from headrace.app import Headrace
from headrace.clients.admission.gates import GatesClient
from headrace.core.labels import SIGNS, decode_required
from headrace.core.points import WORKER_GATE, WORKER_PAUSE
from headrace.engine.waits.points import GateKind
from headrace.engine.waits.views import GateView, HolderView, LimitView, WaiterView
from headrace_infra.cli.console import errors, out, print_data, seconds

PRIORITIES = {1: "low", 2: "medium", 3: "high", 4: "retry"}


def show_gates(app: Headrace, name: str | None, key: str | None, *, all_known: bool, as_json: bool) -> None:
    """Print the gates that were asked for; without a name those that anybody holds or waits at."""
    with errors.status("reading gates"):
        views = _views(GatesClient(app), name, key, all_known=all_known)
    if as_json:
        print_data([dataclasses.asdict(view) for view in views])
        return
    if not views:
        out.print(f"no gate {escape(name)} is known: {NAMED}" if name else IDLE)
    for number, view in enumerate(views):
        if number:
            out.print()
        _print(view, now_ms=app.engine.clock.now_ms())


IDLE = "no task waits, and no permit of a known limit is taken"
NAMED = "a key that no task waits for is found with --key KEY"


def _views(gates: GatesClient, name: str | None, key: str | None, *, all_known: bool) -> list[GateView]:
    if name is None and key is not None:
        return gates.find(key)
    if name is None:
        return gates.list(all=all_known)
    if key is None:
        return gates.find(name)
    view = gates.get(name, key)
    return [view] if view.limit is not None or view.holders or view.waiters else []


# ---------------------------------------------------------------- one gate


def _print(view: GateView, *, now_ms: int) -> None:
    waiting = f", [yellow]{len(view.waiters)} waiting[/]" if view.waiters else ""
    out.print(f"{_title(view)}  {_room(view, now_ms)}{waiting}", highlight=False, soft_wrap=True)
    if not view.holders and not view.waiters:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "run", "task", "priority", "for", "ends in"):
        table.add_column(column, style="dim" if column == "run" else "", no_wrap=True)
    if any(waiter.required_labels for waiter in view.waiters):
        table.add_column("wants")
    for holder in view.holders:
        table.add_row("[cyan]in[/]", *_holder(holder, now_ms))
    for waiter in view.waiters:
        table.add_row(f"[yellow]{waiter.place}.[/]", *_waiter(waiter, now_ms))
    out.print(table)


def _title(view: GateView) -> str:
    name = escape(view.name)
    match view.kind:
        case GateKind.CONCURRENCY:
            return f"[bold]{name}[/] key [bold]{escape(view.key)}[/]"
        case GateKind.SLOTS:
            return f"slots of worker [bold]{name.removeprefix(WORKER_GATE)}[/]"
        case GateKind.RATE:
            return f"rate limit [bold]{name}[/]"
        case GateKind.PAUSE:
            kind, paused = (
                ("worker", name.removeprefix(WORKER_PAUSE))
                if name.startswith(WORKER_PAUSE)
                else ("workflow", name)
            )
            return f"{kind} [bold]{paused}[/]"
        case GateKind.LABELS:
            return f"worker [bold]{name}[/]"
        case GateKind.BATCH:
            return f"batches of [bold]{name}[/] key [bold]{escape(view.key)}[/]"


def _room(view: GateView, now_ms: int) -> str:
    if view.window is not None:
        return _window(view.window, now_ms)
    match view.kind:
        case GateKind.PAUSE:
            return "[magenta]paused[/]" if view.paused else "[dim]not paused[/]"
        case GateKind.LABELS:
            return "no process with the right labels"
        case _:
            full = "red" if view.limit is not None and view.taken >= view.limit else "green"
            return f"[{full}]{view.taken} of {view.limit if view.limit is not None else '?'} taken[/]"


def _window(window: LimitView, now_ms: int) -> str:
    if window.limit is None or window.refills_at_ms is None:
        return "[red]no limit is set[/]"
    colour = "green" if window.left else "red"
    left = f"[{colour}]{window.left} of {window.limit} units left[/]"
    return (
        f"{left}, full again in {seconds(window.refills_at_ms - now_ms)}, every {seconds(window.window_ms)}"
    )


def _holder(holder: HolderView, now_ms: int) -> tuple[str, ...]:
    places = f" ({holder.cost} places)" if holder.cost > 1 else ""
    task = escape(holder.task) if holder.task is not None else "[dim]the whole run[/]"
    return holder.run_id, task + places, "", seconds(max(0, now_ms - holder.since_ms)), ""


def _waiter(waiter: WaiterView, now_ms: int) -> tuple[str, ...]:
    until = seconds(max(0, waiter.start_by_ms - now_ms))
    wants = f" (wants {waiter.cost})" if waiter.cost > 1 else ""
    row = (
        waiter.run_id,
        escape(waiter.task) + wants,
        PRIORITIES.get(waiter.priority, str(waiter.priority)),
        seconds(max(0, now_ms - waiter.since_ms)),
        until,
    )
    return (*row, _required(waiter.required_labels)) if waiter.required_labels else row


def _required(text: str) -> str:
    return escape(", ".join(f"{key} {SIGNS[code]} {value}" for key, code, value in decode_required(text)))
