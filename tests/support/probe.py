"""An app for tests that run it in a process of its own."""

from __future__ import annotations

import logging
import os
import time
from datetime import timedelta

from headrace import Context, EmptyModel, Headrace

hatchet = Headrace()


@hatchet.task(name="probe")
def probe(input: EmptyModel, ctx: Context) -> dict[str, object]:
    logging.getLogger("shop.orders").info("probing %s", ctx.task_name)
    return {"pid": os.getpid(), "worker": ctx.worker_id}


@hatchet.task(name="nap", execution_timeout=timedelta(seconds=20))
def nap(input: EmptyModel, ctx: Context) -> dict[str, object]:
    time.sleep(1.5)
    return {"rested": True}


@hatchet.task(name="hangs", execution_timeout=timedelta(seconds=1))
def hangs(input: EmptyModel, ctx: Context) -> None:
    """Waits in C for a lock that it holds itself: no signal ends that."""
    import ctypes

    library, lock = ctypes.CDLL(None), ctypes.create_string_buffer(128)
    library.pthread_mutex_lock(lock)
    library.pthread_mutex_lock(lock)


worker = hatchet.worker(
    "probe", workflows=[probe, nap, hangs], slots=1 if os.environ.get("PROBE_ONE_SLOT") else None
)

if __name__ == "__main__":
    worker.start()
