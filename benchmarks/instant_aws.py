"""A DynamoDB and an SQS that answer at once, to measure what a client costs: `with instant_aws(...) as aws`.

They keep no state but what a worker needs to go on: each message is received once, and an UpdateItem of a run answers the record of
`item` with the task's row as the request has it. Requests are counted by their operation.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
TARGET = re.compile(rb"(?i)x-amz-target: *[^.\r]*\.?(\w+)")
ROW = re.compile(r"(#\w+)\.(#\w+) = (:\w+)")
"""What an update sets: a row of the map of tasks."""
LONG_POLL_S = 0.5
CLOCK = {"pk": {"S": "clock"}, "sk": {"S": "cursor"}}
"""What says until when timers were sent. A deployment has begun it, so a worker has no hour of them to look through."""


@dataclass(frozen=True, slots=True)
class InstantAws:
    url: str

    def counts(self) -> dict[str, int]:
        """Requests by operation, `received` and `deleted` messages."""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{self.url}/counts"
        ) as answer:
            found: dict[str, int] = json.load(answer)
            return found


@contextmanager
def instant_aws(item: dict[str, Any], bodies: list[str]) -> Iterator[InstantAws]:
    """A server of its own process. `bodies`: the messages in the queue `bench`."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "state.json")
        path.write_text(json.dumps({"item": item, "bodies": bodies}))
        server = subprocess.Popen([sys.executable, __file__, str(path)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            yield InstantAws(f"http://127.0.0.1:{int(server.stdout.readline())}")
        finally:
            server.terminate()
            server.wait(10)
            server.stdout.close()


class Services:
    def __init__(self, item: dict[str, Any], bodies: list[str]) -> None:
        self.item, self.bodies = item, bodies
        self.counts: Counter[str] = Counter()
        self.port = 0

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """None: nothing to receive yet."""
        self.counts[operation] += 1
        match operation:
            case "UpdateItem":
                return self._updated(request)
            case "GetItem" if request["Key"] == CLOCK:
                return {"Item": {**CLOCK, "minute": {"N": str(int(time.time() // 60))}}}
            case "ReceiveMessage":
                return self._received(request)
            case "DeleteMessage":
                self.counts["deleted"] += 1
            case "DeleteMessageBatch" | "SendMessageBatch":
                self.counts["deleted"] += len(request["Entries"]) * (operation == "DeleteMessageBatch")
                return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}
            case "GetQueueUrl":
                return {"QueueUrl": f"http://127.0.0.1:{self.port}/1/{request['QueueName']}"}
            case "Query":
                return {"Items": []}
            case "BatchGetItem":
                return {"Responses": {}}
            case "BatchExecuteStatement":
                return {"Responses": [{} for _ in request["Statements"]]}
        return {}

    def _updated(self, request: dict[str, Any]) -> dict[str, Any]:
        key = request["Key"]
        if not key["pk"]["S"].startswith("run#"):
            return {"Attributes": key}
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        sets = ROW.search(request["UpdateExpression"])
        assert sets is not None, request["UpdateExpression"]
        row = {names[sets[2]]: values[sets[3]]}
        return {"Attributes": {**self.item, **key, "tasks": {"M": row}}}

    def _received(self, request: dict[str, Any]) -> dict[str, Any] | None:
        if not request["QueueUrl"].endswith("bench") or not self.bodies:
            return None
        number = min(request.get("MaxNumberOfMessages", 1), len(self.bodies))
        self.counts["received"] += number
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1764100000000"}
        messages = [
            {"MessageId": "m", "ReceiptHandle": "r", "Body": self.bodies.pop(), "Attributes": attributes}
            for _ in range(number)
        ]
        return {"Messages": messages}


class Connection(asyncio.Protocol):
    def __init__(self, services: Services) -> None:
        self.services, self.data = services, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end]
            found = LENGTH.search(head)
            stop = end + 4 + (int(found.group(1)) if found else 0)
            if len(self.data) < stop:
                return
            body, self.data = self.data[end + 4 : stop], self.data[stop:]
            if head.startswith(b"GET"):
                self.reply(dict(self.services.counts))
                continue
            target = TARGET.search(head)
            answer = self.services.answer(target.group(1).decode() if target else "", json.loads(body))
            if answer is None:
                asyncio.get_running_loop().call_later(LONG_POLL_S, self.reply, {})
            else:
                self.reply(answer)

    def reply(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer, separators=(",", ":")).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: X\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def main(path: str) -> None:
    services = Services(**json.loads(Path(path).read_text()))
    server = await asyncio.get_running_loop().create_server(lambda: Connection(services), "127.0.0.1", 0)
    services.port = server.sockets[0].getsockname()[1]
    print(services.port, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
