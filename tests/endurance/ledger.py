"""What the tasks say of themselves, in a SQLite file: each execution when it begins and when it ends. Nothing here comes from Headrace."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATH = "ENDURANCE_LEDGER"
"""The variable that tells tasks where the ledger is."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS execution (
    id INTEGER PRIMARY KEY, run TEXT, task TEXT, key TEXT, pid INTEGER, began REAL, ended REAL
);
CREATE TABLE IF NOT EXISTS started (run TEXT PRIMARY KEY, workflow TEXT);
CREATE TABLE IF NOT EXISTS killed (pid INTEGER, at REAL);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One call of a task's function. Times in seconds; `ended` None: it did not return. `key`: what its concurrency limit counts by."""

    run: str
    task: str
    key: str
    pid: int
    began: float
    ended: float | None


class Ledger:
    """Safe in any process and thread: each call has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=60)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    @contextmanager
    def execution(self, run: str, task: str, key: str = "") -> Iterator[None]:
        """Write down that a function has begun; and, unless its process dies, that it has ended, even where it raises."""
        with self._open() as connection:
            row = connection.execute(
                "INSERT INTO execution (run, task, key, pid, began) VALUES (?, ?, ?, ?, ?)",
                (run, task, key, os.getpid(), time.time()),
            ).lastrowid
        try:
            yield
        finally:
            with self._open() as connection:
                connection.execute("UPDATE execution SET ended = ? WHERE id = ?", (time.time(), row))

    def started(self, runs: list[tuple[str, str]]) -> None:
        """(id, workflow) of runs whose start has returned to a client: from then on they are promised."""
        with self._open() as connection:
            connection.executemany("INSERT INTO started VALUES (?, ?)", runs)

    def killed(self, pid: int) -> None:
        with self._open() as connection:
            connection.execute("INSERT INTO killed VALUES (?, ?)", (pid, time.time()))

    def executions(self) -> list[Execution]:
        with self._open() as connection:
            rows = connection.execute("SELECT run, task, key, pid, began, ended FROM execution").fetchall()
        return [
            Execution(run=run, task=task, key=key, pid=pid, began=began, ended=ended)
            for run, task, key, pid, began, ended in rows
        ]

    def promised(self) -> dict[str, str]:
        with self._open() as connection:
            return dict(connection.execute("SELECT run, workflow FROM started").fetchall())

    def kills(self) -> dict[int, float]:
        with self._open() as connection:
            return dict(connection.execute("SELECT pid, at FROM killed").fetchall())


def of_environment() -> Ledger:
    return Ledger(Path(os.environ[PATH]))
