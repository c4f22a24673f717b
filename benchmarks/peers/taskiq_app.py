"""A no-op on taskiq with taskiq-aio-sqs, receiving ten at once."""

import asyncio
import os
import time

from seen import noop_ran
from taskiq_aio_sqs import SQSBroker

broker = SQSBroker(
    "bench-taskiq",
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    aws_access_key_id="test",
    aws_secret_access_key="test",
    wait_time_seconds=5,
    max_number_of_messages=10,
)


@broker.task(task_name="noop")
async def noop(sent: float) -> None:
    noop_ran(sent)


loop = asyncio.new_event_loop()  # of the client: one connection for all that it sends
ready = False


def send(count: int) -> None:
    loop.run_until_complete(send_all(count))


async def send_all(count: int) -> None:
    global ready
    if not ready:
        await broker.startup()
        ready = True
    for _ in range(count):
        await noop.kiq(time.time())
