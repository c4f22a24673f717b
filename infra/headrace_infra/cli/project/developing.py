"""`headrace dev`: an emulated AWS, the app's workers beside it, reloads, and the runs and lines as they happen."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, assert_never

from rich.markup import escape

from headrace.app import Headrace
from headrace.aws.local_stack import FILE, LocalStack, announced
from headrace.errors import HeadraceError, NotConfigured
from headrace_infra.cli.console import counted, errors, say
from headrace_infra.cli.project.pages import serve_in_background
from headrace_infra.cli.project.watching import View
from headrace_infra.loading import check_app_path
from headrace_infra.local.emulated.emulators import REGION, Emulator, emulator
from headrace_infra.local.supervising import (
    VISIBILITY_S,
    Broken,
    Debugging,
    Gone,
    Line,
    Ready,
    Supervisor,
    ended,
    worker_environment,
)

REFRESH_S = 0.5
KEEP_EVERY_S = 10.0
KEEP_SHARE = 50
"""Of the time at most a fiftieth goes into keeping what there is."""
DEBOUNCE_MS = 100
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OWN_ENVIRONMENT = ("HEADRACE_TABLE", "HEADRACE_BUCKET", "HEADRACE_QUEUES", "AWS_PROFILE", "AWS_SESSION_TOKEN")


@dataclass(frozen=True, slots=True)
class Changed:
    """Files of the project were saved."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PagesUp:
    """The dashboard is served, at this address."""

    link: str


def develop(path: str, *, port: int, reload: bool, emulator: str, fresh: bool) -> None:
    """Run until it is interrupted: Ctrl-C, SIGTERM or a closed terminal. Nothing is left running."""
    check_app_path(path)
    logging.getLogger("headrace").setLevel(logging.WARNING)  # its own lines are for CloudWatch
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    with ExitStack() as stack:
        stack.callback(_ignore_signals)  # what is torn down last is not torn down twice
        folder = Path.cwd()
        stack_name = Headrace().settings.stack
        with suppress(KeyboardInterrupt):
            _run(path, folder, stack_name, port=port, reload=reload, kind=emulator, fresh=fresh)
    with suppress(OSError):  # the terminal may be gone
        say("stopped")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _run(
    path: str, folder: Path, stack_name: str, *, port: int, reload: bool, kind: str, fresh: bool
) -> None:
    with ExitStack() as stack:
        stack.enter_context(_one_at_a_time(folder))
        running = stack.enter_context(emulator(kind, port, folder / FILE.parent, fresh=fresh))
        _point_to(running, stack_name)
        here = LocalStack(endpoint=running.url, stack=stack_name, region=REGION, key=running.key)
        stack.enter_context(announced(folder, here, app=path))
        events: SimpleQueue[Any] = SimpleQueue()
        environment = worker_environment({"HEADRACE_DEV_ACCOUNT": running.account})
        supervisor = Supervisor(path, environment, events)
        stack.callback(_ignore_signals)
        session = Session(path, running, supervisor, events, stack_name)
        stack.callback(session.keep)
        stack.callback(supervisor.stop)
        if reload:
            stack.enter_context(_watching(folder, events))
        session.run()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """NotConfigured where `headrace dev` runs in this folder already."""
    (folder / FILE.parent).mkdir(exist_ok=True)
    lock = folder / FILE.parent / "lock"
    import fcntl

    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotConfigured(
                f"headrace dev runs in {folder} already: end it, or use it from here (headrace trigger …)"
            ) from error
        yield


def _point_to(running: Emulator, stack_name: str) -> None:
    """This process and its children work on the emulator, whatever the environment said before."""
    for name in OWN_ENVIRONMENT:
        os.environ.pop(name, None)
    os.environ.update(running.environment())
    os.environ["HEADRACE_STACK"] = stack_name


@contextmanager
def _watching(folder: Path, events: SimpleQueue[Any]) -> Iterator[None]:
    try:
        from watchfiles import PythonFilter, watch
    except ImportError as error:
        raise NotConfigured("headrace dev needs watchfiles: pip install 'headrace[local]'") from error
    stop = threading.Event()

    def run() -> None:
        files = PythonFilter(extra_extensions=(".env",))
        for changes in watch(folder, watch_filter=files, stop_event=stop, debounce=DEBOUNCE_MS, step=20):
            events.put(Changed(tuple(sorted({each for _, each in changes}))))

    thread = threading.Thread(target=run, name="headrace-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(1)


class Session:
    """What happens from the start to the end of `headrace dev`, one event after the other."""

    def __init__(
        self, path: str, running: Emulator, supervisor: Supervisor, events: SimpleQueue[Any], stack_name: str
    ) -> None:
        self._path = path
        self._emulator = running
        self._supervisor = supervisor
        self._events = events
        self._stack = stack_name
        self._view = View(Headrace(), running.writes)
        self._greeted = False
        self._restored = False
        self._loaded = False
        self._restart_at: float | None = None
        self._next_keep = monotonic() + KEEP_EVERY_S

    def run(self) -> None:
        say(
            f"[bold]{escape(self._path)}[/] on {self._emulator.kind}, {self._emulator.url}, stack {escape(self._stack)}"
        )
        self._supervisor.load()
        with self._view:
            while True:
                try:
                    self._handle(self._events.get(timeout=REFRESH_S))
                except Empty:
                    self._pass_time()

    def keep(self) -> None:
        """Write what the stack holds to the project's folder."""
        if not self._restored:
            return
        try:
            self._emulator.keep(self._stack)
        except Exception as error:  # noqa: BLE001  # the next start begins empty; ending must go on
            errors.print(f"the runs could not be kept for the next start: {error}")

    # ---- events

    def _handle(self, event: Any) -> None:
        match event:
            case Line(text=text):
                self._view.line(text)
            case Ready(worker=worker, summary=summary):
                if self._supervisor.is_of_now(worker):
                    self._ready(event, summary)
            case Broken(worker=worker, why=why):
                if self._supervisor.is_of_now(worker):
                    self._supervisor.give_up(worker)
                    self._broken(why)
            case Gone(worker=worker, code=code):
                self._gone(event, code)
            case Debugging(worker=worker, begins=begins):
                self._view.hold(begins)
                if begins:
                    worker.tell("terminal")
            case PagesUp(link=link):
                self._view.note(f"runs in the browser: {link}")
            case Changed(paths=paths):
                names = ", ".join(os.path.relpath(each) for each in paths[:3])
                self._view.note(f"[yellow]{escape(names)} changed[/]: reloading")
                self._supervisor.load()
            case _:
                assert_never(event)

    def _ready(self, event: Ready, summary: Any) -> None:
        if not self._restored:
            self._restore()
        self._supervisor.take_over(event.worker)
        self._restart_at = None
        names, workers = summary["workflows"], ", ".join(summary["workers"])
        self._view.note(
            f"[green]ready[/]: {counted(len(names), 'workflow')} ({escape(', '.join(names))}) on {escape(workers)}"
        )
        self._view.watch()
        if not self._greeted:
            self._greeted = True
            self._greet(summary["example"])

    def _greet(self, example: dict[str, Any] | None) -> None:
        serve_in_background(Headrace(), lambda link: self._events.put(PagesUp(link)))
        self._view.note("In another terminal, in this folder:")
        command = "headrace runs list"
        if example is not None:
            given = shlex.quote(json.dumps(example["input"], ensure_ascii=False))
            command = f"headrace trigger {shlex.quote(example['workflow'])} --input {given} --wait"
        self._view.note(f"    {escape(command)}")

    def _restore(self) -> None:
        try:
            self._emulator.restore(self._stack)
        except Exception as error:  # noqa: BLE001  # an unreadable file must not keep anybody from working
            self._view.note(f"[yellow]the runs of the last start could not be read[/]: {escape(str(error))}")
        self._restored = True

    def _broken(self, why: str) -> None:
        after = (
            "the worker of before goes on; the next save is tried"
            if self._supervisor.is_serving
            else "no worker is up: runs wait until a save makes it load"
        )
        self._view.problem(f"{why}\n{after}")

    def _gone(self, event: Gone, code: int) -> None:
        was_loading = self._supervisor.is_loading(event.worker)
        pause_s = self._supervisor.lost(event.worker)
        if pause_s is not None:
            when = f"another is started in {pause_s:g} s" if pause_s else "another is started"
            self._view.problem(
                f"the worker is down: {ended(code)}; {when}, as Lambda would\n"
                f"what it ran comes back within {2 * VISIBILITY_S} s, as a new attempt"
            )
            self._restart_at = monotonic() + pause_s
            self._pass_time()
        elif was_loading and not event.worker.is_stopping:
            self._broken(f"the app was not loaded: {ended(code)}")

    def _pass_time(self) -> None:
        now = monotonic()
        if self._restart_at is not None and now >= self._restart_at:
            self._restart_at = None
            self._supervisor.load()
        if self._restored and now >= self._next_keep:
            with suppress(HeadraceError):
                self.keep()
            took_s = monotonic() - now
            self._next_keep = monotonic() + max(KEEP_EVERY_S, took_s * KEEP_SHARE)
        self._view.refresh()
