"""A report every night at three, by the clock on the wall in Berlin.

    python examples/nightly.py

Deployed, it needs nothing else: the stack's clock starts the runs. Here, time is moved to the next night.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from headrace import Context, EmptyModel, Headrace

hatchet = Headrace()
NIGHTLY = "CRON_TZ=Europe/Berlin 0 3 * * *"


@hatchet.task(on_crons=[NIGHTLY], cron_input={"region": "EU"})
def report(input: EmptyModel, ctx: Context) -> dict[str, str]:
    due = datetime.fromisoformat(ctx.additional_metadata["hatchet__cron_scheduled_at"])
    return {"night": due.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M in %Z")}


if __name__ == "__main__":
    from headrace_infra.testing import local

    with local(hatchet, backend="memory") as stack:
        [cron] = hatchet.cron.list().rows
        stack.advance(timedelta(days=1))
        [run] = hatchet.runs.list(
            since=datetime.now(UTC) - timedelta(days=1), until=datetime.now(UTC) + timedelta(days=2)
        ).rows
        print(f"cron {cron.cron} in {cron.timezone} ran: {run.output}")
