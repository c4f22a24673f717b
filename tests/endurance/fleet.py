"""Worker processes: started, killed at random and replaced, and looked at."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from endurance.ledger import Ledger


@dataclass(slots=True)
class Fleet:
    """Processes by their worker's name. `kills`: how many were killed."""

    environment: Mapping[str, str]
    ledger: Ledger
    processes: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)
    kills: int = 0

    def start(self, worker: str) -> None:
        command = [sys.executable, "-m", "endurance.worker", worker]
        self.processes.append((worker, subprocess.Popen(command, env=dict(self.environment))))

    def kill_one(self, random: random.Random) -> None:
        """SIGKILL to one process, and another in its place."""
        place = random.randrange(len(self.processes))
        worker, process = self.processes.pop(place)
        process.kill()
        process.wait()
        self.ledger.killed(process.pid)
        self.kills += 1
        self.start(worker)

    def dead(self) -> list[str]:
        """Sentences on processes that have ended by themselves, which none should."""
        return [
            f"a process of worker {worker} ended by itself with {process.returncode}"
            for worker, process in self.processes
            if process.poll() is not None
        ]

    def memory_mb(self) -> float:
        """Resident memory of the largest process, in MB; 0 where the system does not say."""
        return max((_memory_mb(process.pid) for _, process in self.processes), default=0.0)

    def stop(self) -> None:
        for _, process in self.processes:
            process.terminate()
        for _, process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _memory_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def fleet(workers: Sequence[str], environment: Mapping[str, str], ledger: Ledger) -> Iterator[Fleet]:
    running = Fleet(environment, ledger)
    try:
        for each in workers:
            running.start(each)
        yield running
    finally:
        running.stop()
