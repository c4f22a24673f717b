"""`headrace dev`: an emulated AWS, the app's workers beside it, reloads, and the runs as they happen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
from rich.live import Live
from rich.table import Table

from headrace import Headrace, Settings
from headrace.aws.items import item_from_wire
from headrace.core.run.graph import finished_at_ms, run_status
from headrace.core.run.record import RunRecord
from headrace.engine.catalog.plans import record_in
from headrace.errors import NotConfigured
from headrace_infra.cli.apps import app_named
from headrace_infra.cli.console import out, painted, seconds
from headrace_infra.compile import compile_app, units_of
from headrace_infra.local.resources import deploy
from headrace_infra.ministack import ministack, python_with_ministack

SHOWN = 20
REFRESH_S = 0.5


def develop(path: str, *, port: int, reload: bool, emulator: str) -> None:
    """Run until it is interrupted."""
    if emulator not in ("auto", "ministack", "moto"):
        raise NotConfigured(f"the emulator is {emulator!r}: give ministack, moto or auto")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app = app_named(path)
    kind = ("ministack" if python_with_ministack() else "moto") if emulator == "auto" else emulator
    stack_name = app.settings.stack
    with ExitStack() as stack:
        environment, account = stack.enter_context(_emulated(kind, port))
        environment["HEADRACE_STACK"] = stack_name
        os.environ.update(environment)
        region = environment["AWS_DEFAULT_REGION"]
        deploy(
            compile_app(app, app_path=path), units_of(app), stack=stack_name, account=account, region=region
        )
        out.print(f"[bold green]{path}[/] runs on {kind}; in another terminal:\n")
        for name in (
            "AWS_ENDPOINT_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_DEFAULT_REGION",
            "HEADRACE_STACK",
        ):
            out.print(f"export {name}={environment[name]}", highlight=False, soft_wrap=True)
        first = next(iter(app.workflows_by_name), "WORKFLOW")
        out.print(f"headrace trigger {first} --input '{{}}' --wait\n", highlight=False)
        workers = _Workers(path)
        stack.callback(workers.stop)
        workers.start()
        changes = _changes(Path.cwd()) if reload else iter(())
        try:
            _watch(stack_name, workers, changes)
        except KeyboardInterrupt:
            out.print("stopped")


class _Workers:
    """The process that delivers to the app; replaced after a change."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headrace_infra.local.served", self._path], env=environment
        )

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def _emulated(kind: str, port: int) -> Iterator[tuple[dict[str, str], str]]:
    """The emulated AWS: what the environment needs to reach it, and its account."""
    if kind == "ministack":
        from headrace_infra.ministack import ACCOUNT

        with ministack(port=port or None) as running:
            yield running.environment(), ACCOUNT
        return
    try:
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        raise NotConfigured("headrace dev needs an emulator: pip install 'headrace[local]'") from error
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    server.start()
    try:
        _, found = server.get_host_and_port()
        yield (
            {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{found}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_REGION": "us-east-1",
            },
            "123456789012",
        )
    finally:
        server.stop()


def _changes(folder: Path) -> Iterator[object]:
    """Yields a set of changed Python files, or an empty one about twice a second."""
    from watchfiles import PythonFilter, watch

    return watch(
        folder, watch_filter=PythonFilter(), yield_on_timeout=True, rust_timeout=int(REFRESH_S * 1000)
    )


def _watch(table: str, workers: _Workers, changes: Iterator[object]) -> None:
    client = boto3.client("dynamodb")
    engine = Headrace(config=Settings(table=table)).engine
    with Live(_view([]), console=out, auto_refresh=False) as live:
        while True:
            changed = next(changes, None)
            if changed is None:
                time.sleep(REFRESH_S)
            elif changed:
                live.console.print("[yellow]changed: reloading[/]")
                workers.restart()
            pages = client.get_paginator("scan").paginate(
                TableName=table,
                FilterExpression="sk = :run",
                ExpressionAttributeValues={":run": {"S": "run"}},
            )
            records = [record_in(engine, item_from_wire(wire)) for page in pages for wire in page["Items"]]
            live.update(_view(records), refresh=True)


def _view(records: list[RunRecord]) -> Table:
    """The newest runs: workflow, status, how long, how many attempts."""
    table = Table(title=f"{len(records)} runs", title_justify="left", box=None, pad_edge=False)
    for name in ("run", "workflow", "status", "took", "attempts"):
        table.add_column(name)
    for record in sorted(records, key=lambda each: -each.created_at_ms)[:SHOWN]:
        ended_ms = finished_at_ms(record)
        attempts = max([row.retry_count + 1 for row in record.tasks.values()], default=0)
        took = ended_ms - record.created_at_ms if ended_ms is not None else None
        table.add_row(
            f"[dim]{record.run_id}[/]",
            record.plan.workflow,
            painted(run_status(record)),
            seconds(took),
            str(attempts),
        )
    return table
