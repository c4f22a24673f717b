"""A no-op on dramatiq with dramatiq_sqs."""

import time

import dramatiq
from dramatiq_sqs import SQSBroker
from seen import noop_ran

broker = SQSBroker(namespace="bench")
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="noop")
def noop(sent: float) -> None:
    noop_ran(sent)


def send(count: int) -> None:
    for _ in range(count):
        noop.send(time.time())
