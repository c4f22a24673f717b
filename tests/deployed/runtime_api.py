"""The Runtime API of AWS Lambda, small, so that the real runtime client runs an artefact as Lambda does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import files
from pathlib import Path
from queue import Queue
from typing import Any

BOOT = "import sys; sys.path[:0] = {path!r}; from awslambdaric.__main__ import main; main(['', {handler!r}])"


class RuntimeApi:
    """Hands out invocations, and takes what the client says: ("response" | "error" | "init/error", its JSON)."""

    def __init__(self) -> None:
        self.events: Queue[dict[str, Any]] = Queue()
        self.said: Queue[tuple[str, Any]] = Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                api.said.put(("ready", None))
                body = json.dumps(api.events.get()).encode()
                self._answer(
                    200,
                    body,
                    {
                        "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:a-function",
                        "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 60_000),
                    },
                )

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                what = "init/error" if self.path.endswith("init/error") else self.path.rpartition("/")[2]
                api.said.put((what, json.loads(text)))
                self._answer(202, b"", {})

            def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")  # the client crashes without one
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def invoke(self, event: dict[str, Any]) -> tuple[str, Any]:
        self.events.put(event)
        return self.said.get(timeout=60)


def runtime_client(into: Path) -> Path:
    """A folder with the runtime client and what it needs, and nothing else of this environment."""
    for package in ("awslambdaric", "simplejson", "snapshot-restore-py"):
        for file in files(package) or []:
            source = Path(str(file.locate()))
            if source.suffix in (".py", ".so") and ".." not in file.parts:
                (into / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, into / file)
    return into


@contextmanager
def lambda_runtime(
    artefact: Path, handler: str, environment: Mapping[str, str], client: Path
) -> Iterator[RuntimeApi]:
    """The handler of an artefact in a process that sees the standard library, the client and the artefact only."""
    api = RuntimeApi()
    threading.Thread(target=api.server.serve_forever, daemon=True).start()
    code = BOOT.format(path=[str(artefact), str(client)], handler=handler)
    variables = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "a-function",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(artefact),
        **environment,
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "faulthandler", "-c", code], env=variables, cwd=artefact
    )
    try:
        yield api
    finally:
        process.kill()
        process.wait()
        api.server.shutdown()
        api.server.server_close()
