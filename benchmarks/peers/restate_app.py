"""A no-op and a chain of ten steps on Restate: a service that its server calls over HTTP/2. Sends are one POST each, on one connection."""

import http.client
import json
import os
import time
import uuid

import restate
from seen import noop_ran, step_ran

INGRESS = os.environ["RESTATE_INGRESS"]
bench = restate.Service("bench")


@bench.handler()
async def noop(ctx: restate.Context, sent: float) -> None:
    noop_ran(sent)


async def step(chain: str, number: int) -> dict[str, int]:
    step_ran(chain, number)
    return {"n": number}


@bench.handler()
async def chain(ctx: restate.Context, name: str) -> None:
    for number in range(10):
        await ctx.run_typed("step", step, chain=name, number=number)


app = restate.app([bench])
connection: http.client.HTTPConnection | None = None


def post(handler: str, value: object) -> None:
    global connection
    if connection is None:
        connection = http.client.HTTPConnection(INGRESS)
    connection.request(
        "POST", f"/bench/{handler}/send", json.dumps(value), {"Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status in (200, 202), said


def send(count: int) -> None:
    for _ in range(count):
        post("noop", time.time())


def send_chains(count: int, pause_s: float) -> None:
    for _ in range(count):
        post("chain", uuid.uuid4().hex)
        time.sleep(pause_s)
