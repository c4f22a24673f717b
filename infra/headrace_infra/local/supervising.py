"""The process that delivers to an app, kept alive: started again after a change, and as Lambda would after it died.

Nothing here prints: what happens is put, as an event, in a queue for whatever shows it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeAlias

VISIBILITY_S = 20
"""How long a message is hidden here: what a process that dies held comes back after so long. On AWS it is six times the task's limit."""

LONGEST_PAUSE_S = 8.0
QUICK_DEATH_S = 5.0
"""A worker that dies sooner after its start than this is started again after a pause, which doubles."""
DRAIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line that a worker wrote."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A worker has loaded the app: what it serves."""

    worker: WorkerProcess
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The app cannot be served, and why."""

    worker: WorkerProcess
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Debugging:
    """A task has stopped at a breakpoint and wants the terminal, or goes on."""

    worker: WorkerProcess
    begins: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A worker's process has ended, with this exit code (-N: by signal N)."""

    worker: WorkerProcess
    code: int


Event: TypeAlias = Line | Ready | Broken | Debugging | Gone


class WorkerProcess:
    """One process; its lines and messages become events."""

    def __init__(self, path: str, environment: Mapping[str, str], events: SimpleQueue[Any]) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._events = events
        self.is_stopping = False
        self.started = monotonic()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace_infra.local.served", path, str(theirs.fileno())],
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        self._messages = threading.Thread(target=self._read_messages, name="headrace-messages", daemon=True)
        self._messages.start()
        threading.Thread(target=self._read_lines, name="headrace-lines", daemon=True).start()

    def tell(self, word: str) -> None:
        with suppress(OSError):
            self._socket.sendall(f"{word}\n".encode())

    def stop(self) -> None:
        """Ask it to finish what runs and end; it is killed where it has not after DRAIN_S."""
        if self.is_stopping:
            return
        self.is_stopping = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        killer = threading.Timer(DRAIN_S, self.process.kill)
        killer.daemon = True
        killer.start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._events.put(Line(text=line.decode(errors="replace").rstrip("\n")))
        code = self.process.wait()
        self._messages.join()  # what it said last comes first
        self._events.put(Gone(worker=self, code=code))

    def _read_messages(self) -> None:
        with suppress(OSError, ValueError), self._socket.makefile() as lines:
            for line in lines:
                self._events.put(self._event(json.loads(line)))

    def _event(self, message: Mapping[str, Any]) -> Event:
        if "ready" in message:
            return Ready(worker=self, summary=message["ready"])
        if "broken" in message:
            return Broken(worker=self, why=message["broken"])
        return Debugging(worker=self, begins=bool(message["debugger"]))


class Supervisor:
    """At most one worker delivers. A new one loads the app while the old one goes on, and takes over once it has. Another one waits
    with everything but the app imported."""

    def __init__(self, path: str, environment: Mapping[str, str], events: SimpleQueue[Any]) -> None:
        self._path = path
        self._environment = environment
        self._events = events
        self._current: WorkerProcess | None = None
        self._next: WorkerProcess | None = None
        self._spare: WorkerProcess | None = None
        self._pause_s = 0.0
        self._all: list[WorkerProcess] = []

    @property
    def is_serving(self) -> bool:
        return self._current is not None

    def load(self) -> None:
        """Load the app as it is now; what was being loaded is out of date."""
        if self._next is not None:
            self._next.is_stopping = True
            self._next.process.kill()
        self._next, self._spare = self._spare or self._new(), None
        self._next.started = monotonic()
        self._next.tell("load")

    def _new(self) -> WorkerProcess:
        worker = WorkerProcess(self._path, self._environment, self._events)
        self._all = [each for each in self._all if each.process.poll() is None] + [worker]
        return worker

    def is_of_now(self, worker: WorkerProcess) -> bool:
        """Whether the worker is the one that serves, or that will."""
        return worker is self._current or worker is self._next

    def is_loading(self, worker: WorkerProcess) -> bool:
        return worker is self._next

    def take_over(self, worker: WorkerProcess) -> None:
        """The worker has loaded the app: it delivers from now on, the one before finishes what it runs."""
        if self._current is not None:
            self._current.stop()
        self._current, self._next = worker, None
        worker.tell("go")
        self.prepare()

    def prepare(self) -> None:
        """Have a process at hand that has imported all but the app: the next load is quick."""
        if self._spare is None:
            self._spare = self._new()

    def give_up(self, worker: WorkerProcess) -> None:
        """The worker could not load the app: the one before goes on."""
        if worker is self._next:
            self._next = None
        self.prepare()

    def lost(self, worker: WorkerProcess) -> float | None:
        """The process has ended. Where it served and was not told to end: in how many seconds to load the app again."""
        if worker is self._spare:
            self._spare = None
        if worker is self._next:
            self._next = None
            return None
        if worker is not self._current:
            return None
        self._current = None
        if worker.is_stopping:
            return None
        quick = monotonic() - worker.started < QUICK_DEATH_S
        self._pause_s = min(LONGEST_PAUSE_S, max(0.5, self._pause_s * 2)) if quick else 0.0
        return self._pause_s if self._pause_s > 0.5 else 0.0

    def stop(self) -> None:
        """End every process: each is asked, then killed."""
        for worker in self._all:
            worker.stop()
        deadline = monotonic() + DRAIN_S
        for worker in self._all:
            try:
                worker.process.wait(max(0.1, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def ended(code: int) -> str:
    """How a process ended, for a person."""
    if code >= 0:
        return f"its code ended the process with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ": out of memory?" if name == "SIGKILL" else ""
    return f"it was ended by {name}{hint}"


def worker_environment(more: Mapping[str, str]) -> dict[str, str]:
    """What a worker's process needs to import what this one can, and to reach the emulator."""
    path = os.pathsep.join(each for each in sys.path if each)
    return {**os.environ, **more, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
