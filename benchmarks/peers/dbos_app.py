"""A no-op and a chain of ten steps on DBOS with PostgreSQL. Its queue is asked every 50 ms: the default of a second is all of its delay."""

import os
import threading
import time
import uuid

from dbos import DBOS, DBOSConfig
from seen import noop_ran, step_ran

config: DBOSConfig = {
    "name": "bench",
    "system_database_url": os.environ["POSTGRES_URL"].replace("postgresql://", "postgresql+psycopg://"),
    "log_level": "ERROR",
    "application_version": "1",
}
DBOS(config=config)


@DBOS.workflow(name="noop")
def noop(sent: float) -> None:
    noop_ran(sent)


@DBOS.step()
def step(chain: str, number: int) -> dict[str, int]:
    step_ran(chain, number)
    return {"n": number}


@DBOS.workflow(name="chain")
def chain(name: str) -> None:
    for number in range(10):
        step(name, number)


def launched() -> None:
    DBOS.launch()
    DBOS.register_queue("bench", worker_concurrency=10, polling_interval_sec=0.05)


sending = False


def client() -> None:
    """A client takes nothing from the queue."""
    global sending
    if not sending:
        DBOS.listen_queues([])
        launched()
        sending = True


def send(count: int) -> None:
    client()
    for _ in range(count):
        DBOS.enqueue_workflow("bench", noop, time.time())


def send_chains(count: int, pause_s: float) -> None:
    client()
    for _ in range(count):
        DBOS.enqueue_workflow("bench", chain, uuid.uuid4().hex)
        time.sleep(pause_s)


if __name__ == "__main__":
    launched()
    threading.Event().wait()
