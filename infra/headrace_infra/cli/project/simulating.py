"""`headrace simulate`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from headrace.errors import NotConfigured
from headrace_infra.cli.apps import parsed_object
from headrace_infra.cli.console import counted, errors, out, print_data
from headrace_infra.testing import _check_installed
from headrace_infra.testing.simulated.case import Case
from headrace_infra.testing.simulated.once import found_at
from headrace_infra.testing.simulated.seeds import Found, Summary, replay
from headrace_infra.testing.simulated.seeds import simulate as played

if TYPE_CHECKING:
    from headrace.app import Headrace

MOST_SEEDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The command's options, as they were given."""

    workflow: str
    input: str
    draw: bool
    seeds: str
    seed: int | None
    faults: str | None
    runs: int
    once: tuple[str, ...]
    events: tuple[str, ...]
    setup: str | None
    check: str | None
    keep_going: bool


def simulate(app: Headrace, wanted: Wanted, *, as_json: bool) -> None:
    """Play the seeds, or replay one, and say what came of it. Exit code 1 where one fails."""
    _check_installed()
    case, seeds = _case(app, wanted), _seeds(wanted.seeds)
    if wanted.faults is not None and wanted.seed is None:
        raise NotConfigured("--faults names the faults of one seed: give --seed too")
    if wanted.seed is not None:
        _replay(case, wanted.seed, _ordinals(wanted.faults), as_json=as_json)
        return
    with _progress(len(seeds)) as progress:
        summary = played(case, seeds, keep_going=wanted.keep_going, progress=progress)
    if as_json:
        print_data(_as_data(summary))
    else:
        _show(summary, wanted)
    if summary.found:
        raise SystemExit(1)


def _case(app: Headrace, wanted: Wanted) -> Case:
    from headrace_infra.testing.simulated.drawing import inputs_drawn

    return Case(
        app=app,
        workflow=wanted.workflow,
        inputs=[parsed_object(wanted.input, "--input")] * wanted.runs,
        draw=inputs_drawn(app, wanted.workflow, wanted.runs) if wanted.draw else None,
        once=wanted.once,
        events=tuple(_event(each) for each in wanted.events),
        setup=_function(wanted.setup),
        check=_function(wanted.check),
    )


def _function(name: str | None) -> Callable[..., Any] | None:
    return found_at(name)[2] if name is not None else None


def _event(text: str) -> tuple[str, Any]:
    key, _, payload = text.partition("=")
    if not key:
        raise NotConfigured(f"--event {text!r} has no key: give KEY or KEY=JSON, such as order:paid={{}}")
    return key, parsed_object(payload, f"--event {key}") if payload else {}


def _seeds(text: str) -> range:
    first, colon, end = text.partition(":")
    try:
        found = range(int(first), int(end)) if colon else range(int(text))
    except ValueError as error:
        raise NotConfigured(
            f"--seeds {text!r} is not a range: give FIRST:END, such as 0:500, or how many"
        ) from error
    if not found or found.start < 0:
        raise NotConfigured(
            f"--seeds {text!r} holds no seed: END must be more than FIRST, and FIRST 0 or more"
        )
    if len(found) > MOST_SEEDS:
        raise NotConfigured(f"--seeds {text!r} holds {len(found):,} seeds: at most {MOST_SEEDS:,} at once")
    return found


def _ordinals(text: str | None) -> frozenset[int] | None:
    if text is None:
        return None
    try:
        return frozenset(int(each) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise NotConfigured(f"--faults {text!r}: give numbers, such as 0,3") from error


# ---------------------------------------------------------------- what is shown


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Summary], None]]:
    """A line that is kept up to date on a terminal."""
    with errors.status(f"without faults, then {counted(total, 'seed')}") as status:

        def update(summary: Summary) -> None:
            failed = f", {len(summary.found)} failed" if summary.found else ""
            status.update(
                f"{summary.seeds:,} of {counted(total, 'seed')}, {sum(summary.faults.values()):,} faults{failed}"
            )

        yield update


def _replay(case: Case, seed: int, only: frozenset[int] | None, *, as_json: bool) -> None:
    told, what = replay(case, seed, only)
    if as_json:
        print_data(
            {
                "seed": seed,
                "findings": what,
                "faults": [{"number": n, "kind": kind, "what": text} for n, kind, text in told.faults],
                "story": list(told.story),
            }
        )
    else:
        for line in told.story:
            _line(line)
        for each in what:
            out.print(f"[bold red]{escape(each)}[/]", highlight=False, soft_wrap=True)
        if not what:
            out.print(f"seed {seed}: as without faults", style="green", highlight=False)
    if what:
        raise SystemExit(1)


def _line(line: str) -> None:
    out.print(escape(line), style="yellow" if " s  !! " in line else None, highlight=False, soft_wrap=True)


def _show(summary: Summary, wanted: Wanted) -> None:
    for found in summary.found[:5]:
        _show_found(found)
    if len(summary.found) > 5:
        seeds = ", ".join(str(each.seed) for each in summary.found[5:][:20])
        out.print(f"{len(summary.found) - 5} more failed: {seeds}", highlight=False, soft_wrap=True)
    out.print(_table(summary, wanted.workflow))
    if summary.found:
        first = summary.found[0]
        command = f"headrace {shlex.join(_again(sys.argv[1:]))} --seed {first.seed} --faults {first.only}"
        out.print(f"again: {escape(command)}", highlight=False, soft_wrap=True)


def _again(arguments: list[str]) -> list[str]:
    """The command without what chose its seeds."""
    kept: list[str] = []
    skip = False
    for each in arguments:
        if skip:
            skip = False
        elif each in ("--seeds", "--seed", "--faults"):
            skip = True
        elif not each.startswith(("--seeds=", "--seed=", "--faults=")) and each != "--keep-going":
            kept.append(each)
    return kept


def _show_found(found: Found) -> None:
    out.print(f"[bold red]seed {found.seed}: {escape(found.findings[0])}[/]", highlight=False, soft_wrap=True)
    for each in found.findings[1:]:
        out.print(f"[red]also: {escape(each)}[/]", highlight=False, soft_wrap=True)
    for line in found.told.story:
        _line(line)
    out.print("")


def _table(summary: Summary, workflow: str) -> Table:
    table = Table(
        title=f"{workflow}: {counted(summary.seeds, 'seed')}", title_justify="left", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    calm, seeds = summary.calm, max(summary.seeds, 1)
    table.add_row("seeds that failed", f"{len(summary.found):,}")
    table.add_row("runs", f"{summary.runs:,}")
    for status, count in sorted(summary.statuses.items()):
        table.add_row(f"  of those started, {status}", f"{count:,}")
    table.add_section()
    faults = sum(summary.faults.values())
    table.add_row("faults", f"{faults:,}")
    for kind, count in summary.faults.most_common():
        table.add_row(f"  {kind}", f"{count:,}")
    table.add_row("faults an hour", f"{summary.faults_an_hour:,}")
    table.add_section()
    for task, most in sorted(summary.most.items()):
        table.add_row(f"executions of {task}, the most for one run", f"{most:,}")
    table.add_section()
    table.add_row("requests a seed (without faults)", f"{summary.requests / seeds:,.0f} ({calm.requests:,})")
    table.add_row(
        "invocations a seed (without faults)", f"{summary.invocations / seeds:,.1f} ({calm.invocations:,})"
    )
    table.add_row("virtual time", _span(summary.virtual_s))
    table.add_row("real time", _span(summary.seconds))
    return table


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7_200 else f"{seconds / 3_600:,.1f} h"


def _as_data(summary: Summary) -> dict[str, Any]:
    return {
        "seeds": summary.seeds,
        "failed": [
            {
                "seed": each.seed,
                "findings": list(each.findings),
                "faults": [{"number": n, "kind": kind, "what": text} for n, kind, text in each.told.faults],
                "story": list(each.told.story),
            }
            for each in summary.found
        ],
        "runs": summary.runs,
        "statuses": dict(summary.statuses),
        "faults": dict(summary.faults),
        "faults_an_hour": summary.faults_an_hour,
        "most_executions": dict(summary.most),
        "requests": summary.requests,
        "invocations": summary.invocations,
        "virtual_s": summary.virtual_s,
        "seconds": summary.seconds,
    }
