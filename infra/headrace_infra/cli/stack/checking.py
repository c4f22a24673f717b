"""`headrace doctor`: what a stack needs to work, each checked, with what to do where it does not hold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import boto3
from rich.markup import escape

from headrace.aws.faults import translated
from headrace.core.table import CURSOR
from headrace.engine.catalog.deployed import deployed_version, fit_together
from headrace.engine.catalog.workflows import all_published
from headrace.errors import HeadraceError, StackNotFound
from headrace.ports import NEXT
from headrace.settings.version import VERSION
from headrace_infra.cli.console import counted, print_data, say

if TYPE_CHECKING:
    from headrace.app import Headrace

MINUTE_MS = 60_000
LATE_MINUTES = 3
DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked. `fix` is what to do where it is not ok."""

    what: str
    ok: bool
    found: str
    fix: str = ""


def doctor(app: Headrace, *, as_json: bool) -> None:
    """Print every finding; exit code 1 where something is wrong. What hangs on a thing that failed is not checked."""
    findings: list[Finding] = []
    for check in (_client, _identity, _workflows, _clock, _next_queues, _dead_letters):
        try:
            findings += check(app)
        except HeadraceError as error:
            findings.append(Finding(what=check.__name__.strip("_"), ok=False, found=str(error)))
            break
    if as_json:
        print_data([asdict(each) for each in findings])
    else:
        for each in findings:
            mark = "[green]ok[/]  " if each.ok else "[bold red]bad[/] "
            say(f"{mark} {escape(each.what)}: {escape(each.found)}")
            if each.fix and not each.ok:
                say(f"     {escape(each.fix)}")
    if not all(each.ok for each in findings):
        raise SystemExit(1)


def _client(app: Headrace) -> Iterator[Finding]:
    python = ".".join(str(number) for number in sys.version_info[:3])
    yield Finding(what="client", ok=True, found=f"headrace {version('headrace')} on Python {python}")


def _identity(app: Headrace) -> Iterator[Finding]:
    stack = app.settings.stack
    found: dict[str, Any] = {}
    _ = app.engine  # where no region is known, that is what is said
    with translated("store", "the caller's identity", stack):
        client = _aws(app, "sts")
        found.update(client.get_caller_identity())
    yield Finding(what="credentials", ok=True, found=f"{found['Arn']} in account {found['Account']}")
    place = client.meta.endpoint_url if "127.0.0.1" in client.meta.endpoint_url else client.meta.region_name
    yield Finding(what="region", ok=True, found=place)


def _workflows(app: Headrace) -> Iterator[Finding]:
    names = sorted(all_published(app.engine))
    stack = app.settings.stack
    yield Finding(
        what="stack",
        ok=bool(names),
        found=f"{stack} has {counted(len(names), 'workflow')}{': ' + ', '.join(names[:8]) if names else ''}",
        fix="Its clock publishes workflows within a minute of `sam deploy`; look at the clock function's log.",
    )
    yield from _versions(app)


def _versions(app: Headrace) -> Iterator[Finding]:
    deployed = deployed_version(app.engine)
    if deployed is None:
        return
    yield Finding(
        what="version",
        ok=fit_together(VERSION, deployed),
        found=f"the stack runs headrace {deployed}, this is {VERSION}",
        fix=f"Deploy the stack with headrace {VERSION}, or install headrace=={deployed} here.",
    )


def _clock(app: Headrace) -> Iterator[Finding]:
    cursor = app.engine.store.get(CURSOR)
    minute = cursor.get("minute") if cursor is not None else None
    if not isinstance(minute, int):
        yield Finding(what="clock", ok=False, found="it has never run", fix=CLOCK_FIX)
        return
    behind = app.engine.clock.now_ms() // MINUTE_MS - minute
    late = behind > LATE_MINUTES
    found = f"{counted(behind, 'minute')} behind" if late else "has run within the last minutes"
    yield Finding(what="clock", ok=not late, found=found, fix=CLOCK_FIX)


CLOCK_FIX = "Look at the log of the stack's Clock function, and whether its schedule is enabled."


def _next_queues(app: Headrace) -> Iterator[Finding]:
    """A stack that was deployed before its app had limits works without the second queue, and slower."""
    sqs = _aws(app, "sqs")
    for worker in sorted(app._registry.next_queues):
        found, name = "there", worker + NEXT
        try:
            with translated("queues", f"queue {name}", app.settings.stack):
                sqs.get_queue_url(QueueName=f"{app.settings.home}-{name}")
        except StackNotFound:
            found = "not there: what goes on with runs of this worker waits behind its new runs"
        yield Finding(
            what=f"queue {name}",
            ok=found == "there",
            found=found,
            fix="Run `headrace compile` and deploy the stack again.",
        )


def _dead_letters(app: Headrace) -> Iterator[Finding]:
    name = f"{app.settings.home}-{DEAD_LETTERS}"
    with translated("queues", f"queue {name}", app.settings.stack):
        sqs = _aws(app, "sqs")
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    count = int(asked["Attributes"]["ApproximateNumberOfMessages"])
    yield Finding(
        what="dead letters",
        ok=count == 0,
        found=counted(count, "message"),
        fix="Each is failed within a minute by the stack's dead-letter function: where they stay, look at its log.",
    )
    kept = len(app.dead_letters.list())
    yield Finding(
        what="given up",
        ok=kept == 0,
        found="nothing" if kept == 0 else f"{kept:,} dead letters",
        fix="`headrace dead-letters list` says why; mend that, then `headrace dead-letters redrive --all`, or `forget --all`.",
    )


def _aws(app: Headrace, service: str) -> Any:
    """A client where the app's own are: on AWS, or on what `headrace dev` runs here."""
    make: Callable[..., Any] = boto3.client
    return make(service, **_endpoint(app))


def _endpoint(app: Headrace) -> dict[str, Any]:
    from headrace.aws.local_stack import running_here

    found = running_here(app.settings)
    return found.client_arguments() if found is not None else {}
