"""Memory of a process worker over 20,000 runs, beside a bare boto3 worker's, where DynamoDB and SQS answer at once.

    python benchmarks/memory.py

Each in a process of its own, ten runs at once: Linux's resident set, after each tenth of the runs. Exit code 1 where Headrace's grows, or
is more than 5 MB over the other's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ALONE = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "HOME": "/nonexistent",
}
"""All of a worker's environment: it says region and credentials, so that botocore has nothing to be asked."""
sys.path[:0] = [str(ROOT / "sdk"), str(Path(__file__).resolve().parent)]
RUNS, SLOTS, LOOKS = 20_000, 10, 10
BARE_RUNS = 5_000
"""It is flat from its first hundreds on."""
MOST_MB = 5.0
IN_A_CONTAINER = "headrace, a container's role"
"""Its credentials are botocore's to find and to refresh."""
PROFILE, SSO = "headrace, a profile in ~/.aws", "headrace, a profile of single sign-on"
"""Region, too, is the profile's to say. Single sign-on gets credentials through a client of botocore's."""


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def watched(done: Callable[[], int], runs: int) -> list[float]:
    """The resident set at each tenth of the runs."""
    found: list[float] = []
    while len(found) < LOOKS:
        if done() >= runs * (len(found) + 1) // LOOKS:
            found.append(resident_mb())
        time.sleep(0.01)
    return found


def headrace() -> list[float]:
    from headrace import Context, Headrace, Settings
    from headrace.runtime.process import Process

    app = Headrace(config=Settings())

    @app.task(name="noop")
    def noop(input: dict, ctx: Context) -> None: ...  # type: ignore[type-arg]  # the least that a task can declare

    process = Process(app.worker("bench", workflows=[noop], process=True))
    thread = threading.Thread(target=process.run)
    thread.start()
    found = watched(lambda: process.done_tasks, RUNS)
    process.stopping.set()
    thread.join(30)
    return found


def bare() -> list[float]:
    """The same requests by hand: a claim and a result for each message, deletes in batches."""
    import boto3

    db, sqs = boto3.client("dynamodb"), boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="bench")["QueueUrl"]
    done = 0

    def run(message: dict[str, Any]) -> None:
        run_id = json.loads(message["Body"])["run"]
        for state in ("R", "C"):
            db.update_item(
                TableName="headrace",
                Key={"pk": {"S": f"run#{run_id}"}, "sk": {"S": "run"}},
                UpdateExpression="SET #t.#n = :row",
                ExpressionAttributeNames={"#t": "tasks", "#n": "noop"},
                ExpressionAttributeValues={":row": {"M": {"s": {"S": state}}}},
                ReturnValues="ALL_NEW",
            )

    def work() -> None:
        nonlocal done
        with ThreadPoolExecutor(SLOTS) as pool:
            while done < BARE_RUNS:
                messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
                    "Messages", []
                )
                list(pool.map(run, messages))
                entries = [
                    {"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)
                ]
                if entries:
                    sqs.delete_message_batch(QueueUrl=url, Entries=entries)
                done += len(messages)

    thread = threading.Thread(target=work)
    thread.start()
    found = watched(lambda: done, BARE_RUNS)
    thread.join(30)
    return found


@contextmanager
def answering(answer: dict[str, Any]) -> Iterator[str]:
    """The URL of a server that gives credentials."""
    text = json.dumps(answer).encode()

    class Role(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Role) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def alone() -> Iterator[dict[str, str]]:
    yield ALONE


@contextmanager
def role() -> Iterator[dict[str, str]]:
    """The environment of a container with a role, whose credentials are asked for as on ECS and EKS."""
    answer = {"AccessKeyId": "x", "SecretAccessKey": "x", "Token": "x", "Expiration": "2999-01-01T00:00:00Z"}
    keyless = {name: value for name, value in ALONE.items() if "KEY" not in name}
    with answering(answer) as url:
        yield {**keyless, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/role"}


@contextmanager
def profile() -> Iterator[dict[str, str]]:
    """A home with a profile that gives region and keys."""
    with TemporaryDirectory() as home:
        write(home, "config", "[profile work]\nregion = us-east-1\n")
        write(home, "credentials", "[work]\naws_access_key_id = x\naws_secret_access_key = x\n")
        yield {"HOME": home, "AWS_PROFILE": "work"}


@contextmanager
def single_sign_on() -> Iterator[dict[str, str]]:
    """A home with a profile of single sign-on whose user has logged in."""
    start = "https://example.awsapps.com/start"
    token = {"accessToken": "x", "expiresAt": "2999-01-01T00:00:00Z"}
    keys = {"accessKeyId": "x", "secretAccessKey": "x", "sessionToken": "x", "expiration": 32_503_680_000_000}
    text = (
        f"[profile work]\nregion = us-east-1\nsso_start_url = {start}\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = worker\n"
    )
    with TemporaryDirectory() as home, answering({"roleCredentials": keys}) as url:
        write(home, "config", text)
        write(
            home, f"sso/cache/{sha1(start.encode()).hexdigest()}.json", json.dumps(token)
        )  # botocore names it so
        yield {"HOME": home, "AWS_PROFILE": "work", "AWS_ENDPOINT_URL_SSO": url}


def write(home: str, name: str, text: str) -> None:
    path = Path(home, ".aws", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


ENVIRONMENTS = {
    "bare": alone,
    "headrace": alone,
    IN_A_CONTAINER: role,
    PROFILE: profile,
    SSO: single_sign_on,
}


def measured(name: str, runs: int) -> list[float]:
    """In a process of its own, on a server of its own."""
    from instant_aws import instant_aws
    from process_worker import app_on, message, record

    from headrace.aws.dynamodb.items import item_to_wire
    from headrace.core.changes import apply
    from headrace.core.run.transitions.claim import create

    app = app_on("lean")
    created = apply(create(record(app, 0)), None).item
    assert created is not None
    with (
        instant_aws(item_to_wire(created), [message(app, n) for n in range(runs)]) as aws,
        ENVIRONMENTS[name]() as environment,
    ):
        done = subprocess.run(
            [sys.executable, __file__, name],
            env={**environment, "AWS_ENDPOINT_URL": aws.url},
            stdout=subprocess.PIPE,
            check=True,
            timeout=600,
        )
    return list(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    if sys.argv[1:]:
        print(json.dumps(bare() if sys.argv[1] == "bare" else headrace()))
        return 0
    runs = {name: BARE_RUNS if name == "bare" else RUNS for name in ENVIRONMENTS}
    found = {name: measured(name, count) for name, count in runs.items()}
    heads = " | ".join(f"{100 * (n + 1) // LOOKS} %" for n in range(LOOKS))
    print(f"| MB after a share of its runs | {heads} |\n|---|{'---:|' * LOOKS}")
    for name, values in found.items():
        of = f"{name}, {runs[name]:,} runs"
        print(f"| {of} | {' | '.join(f'{each:.1f}' for each in values)} |")
    print()
    missed = 0
    for name in list(ENVIRONMENTS)[1:]:
        ours = found[name]
        grown = max(ours[LOOKS // 2 :]) - max(ours[: LOOKS // 2])
        beyond = max(ours) - max(found["bare"])
        missed += max(grown, beyond) > MOST_MB
        print(
            f"{name}: grown in the second half: {grown:.1f} MB. Over bare boto3's: {beyond:.1f} MB. Aim of each: at most {MOST_MB:g}."
        )
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
