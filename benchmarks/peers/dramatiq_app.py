"""A no-op on dramatiq with dramatiq_sqs."""

import os
import time

import dramatiq
from dramatiq_sqs import SQSBroker

broker = SQSBroker(namespace="bench")
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="noop")
def noop(sent: float) -> None:
    with open(os.environ["OUT"], "a") as out:
        out.write(f"{sent} {time.time()}\n")


def send(count: int) -> None:
    for _ in range(count):
        noop.send(time.time())
