"""A no-op on Celery with kombu's SQS transport."""

import os
import time

from celery import Celery
from seen import noop_ran

URL = os.environ["QUEUE_URL"]
PORT = os.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1]

app = Celery("bench", broker=f"sqs://test:test@127.0.0.1:{PORT}//")
app.conf.update(
    task_default_queue="bench",
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "region": "us-east-1",
        "is_secure": False,
        "polling_interval": 0,
        "wait_time_seconds": 1,
        "predefined_queues": {"bench": {"url": URL, "access_key_id": "test", "secret_access_key": "test"}},
    },
)


@app.task(name="noop")
def noop(sent: float) -> None:
    noop_ran(sent)


def send(count: int) -> None:
    for _ in range(count):
        noop.delay(time.time())
