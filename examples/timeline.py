"""Draw runs over time: '·' while a run waits, '█' while it runs, '✗' where it was cancelled.

    acme   ████████
    acme   ·······████████
    bob    ·████████

Drawn from the runs' records, so it is the same for the embedded AWS and for a deployed stack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from headrace import Headrace, RunStatus

WIDTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One run. `started` is None where it was cancelled before it ran."""

    label: str
    created: datetime
    started: datetime | None
    finished: datetime
    status: RunStatus

    @property
    def waited_s(self) -> float:
        return ((self.started or self.finished) - self.created).total_seconds()


def bars(app: Headrace, runs: Sequence[tuple[str, str]]) -> list[Bar]:
    """A bar for each (label, run id), once all of them are over."""
    return [_bar(app, label, run_id) for label, run_id in runs]


def _bar(app: Headrace, label: str, run_id: str) -> Bar:
    run = app.runs.get(run_id).run
    if run.finished_at is None:
        raise ValueError(f"run {run_id} is {run.status.value}: wait for its result first")
    return Bar(
        label=label,
        created=run.created_at,
        started=run.started_at,
        finished=run.finished_at,
        status=run.status,
    )


def by_start(rows: Sequence[Bar]) -> list[Bar]:
    """In the order in which they went in; one that never did stands where it ended."""
    return sorted(rows, key=lambda row: row.started or row.finished)


def draw(rows: Sequence[Bar]) -> None:
    """Print a row for each bar, in the order in which they went in, over one axis of seconds."""
    rows = by_start(rows)
    begin = min(row.created for row in rows)
    total_s = max((row.finished - begin).total_seconds() for row in rows) or 1.0
    margin = max(len(row.label) for row in rows)
    for row in rows:
        print(f"{row.label:{margin}}  {_cells(row, begin, total_s)}")
    print(f"{'':{margin}}  {_axis(total_s)}")


def _cells(row: Bar, begin: datetime, total_s: float) -> str:
    def at(moment: datetime) -> int:
        return round((moment - begin) / timedelta(seconds=total_s) * WIDTH)

    created, finished = at(row.created), at(row.finished)
    started = finished if row.started is None else at(row.started)
    running = "█" * (max(finished - started, 1) if row.started is not None else 0)
    end = "✗" if row.status is RunStatus.CANCELLED else ""
    return " " * created + "·" * (started - created) + running + end


def _axis(total_s: float) -> str:
    """A mark a second, or half a second where there is little time."""
    step_s = next(step for step in (0.5, 1.0, 5.0, 15.0, 60.0, 600.0, total_s) if total_s / step <= 8)
    line = ""
    for number in range(int(total_s / step_s) + 1):
        at = round(number * step_s / total_s * WIDTH)
        line = f"{line:{at}}|{number * step_s:g} s"
    return line
