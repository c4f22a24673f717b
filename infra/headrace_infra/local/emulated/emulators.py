"""An emulated AWS as a server on 127.0.0.1, which keeps what it holds from one start to the next: for `headrace dev`."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.errors import NotConfigured
from headrace_infra.local.emulated.guard import guarded_wsgi, new_key
from headrace_infra.local.emulated.keeping import Kept, kept_by_moto, restore_into_moto
from headrace_infra.ministack import free_port, ministack, python_with_ministack

KINDS = ("auto", "ministack", "moto")
HOST = "127.0.0.1"
REGION = "us-east-1"
MOTO_ACCOUNT = "123456789012"
PORT_FILE = "port"
STATE = "state"
READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "DescribeTable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """One that runs. `key`: its credentials, which nothing else is served for. `restore` puts back what the last start held, once the stack's resources are there."""

    kind: str
    url: str
    key: str
    account: str
    restore: Callable[[str], None]
    keep: Callable[[str], None]
    """Write what the stack of that name holds to the project's folder."""
    writes: Callable[[], int] | None = None
    """How many requests may have changed a table so far; None where that is not known."""

    def environment(self) -> dict[str, str]:
        """What boto3 needs to work on it, and on nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def emulator(kind: str, port: int, folder: Path, *, fresh: bool) -> Iterator[Emulator]:
    """An emulator for the time of the block. `port` 0: that of the last start in `folder`, or a free one.

    NotConfigured where it is not installed, its kind is not known, or the port is taken.
    """
    if kind not in KINDS:
        raise NotConfigured(f"the emulator is {kind!r}: give {', '.join(KINDS)}")
    if kind == "auto":
        kind = "ministack" if python_with_ministack() else "moto"
    state = folder / f"{STATE}-{kind}"
    if fresh:
        shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # what runs hold is in there, and the key
    key = new_key()
    found = _port(port, folder / PORT_FILE)
    if kind == "moto":
        with _moto(found, state, key) as running:
            yield running
        return
    settings = {
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / "s3"),
    }
    with ministack(key=key, port=found, log=folder / "ministack.log", settings=settings) as running_one:
        yield Emulator(
            kind=kind,
            url=running_one.url,
            key=key,
            account="000000000000",
            restore=_by_itself,
            keep=_by_itself,
        )


def _by_itself(stack: str) -> None:
    """MiniStack keeps and restores its state without help."""


def _port(asked: int, file: Path) -> int:
    """A port that is free now; the next start takes the same one, as addresses of queues are kept with it."""
    if asked:
        _check_free(asked)
        file.write_text(str(asked))
        return asked
    try:
        found = int(file.read_text())
        _check_free(found)
    except (OSError, ValueError, NotConfigured):
        found = free_port()
        file.write_text(str(found))
    return found


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "it must be 0 to 65535"
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                why = "another program listens there, perhaps another emulator"
            raise NotConfigured(
                f"port {port} on {HOST} cannot be used: {why}. Give another one with --port, or none for a free one"
            ) from error


# ---------------------------------------------------------------- moto


@contextmanager
def _moto(port: int, state: Path, key: str) -> Iterator[Emulator]:
    try:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server
    except ImportError as error:
        raise NotConfigured("headrace dev needs an emulator: pip install 'headrace[local]'") from error
    os.environ["MOTO_ACCOUNT_ID"] = MOTO_ACCOUNT
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    tables = _OneWriteAtATime(DomainDispatcherApplication(create_backend_app))
    served = guarded_wsgi(tables, key=key, port=port)
    server = make_server(HOST, port, served, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="headrace-moto", daemon=True)
    thread.start()
    file = state / "stack.json"
    try:
        yield Emulator(
            kind="moto",
            url=f"http://{HOST}:{port}",
            key=key,
            account=MOTO_ACCOUNT,
            restore=lambda stack: _restore(file, stack),
            keep=lambda stack: _keep(file, stack),
            writes=lambda: tables.writes,
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _restore(file: Path, stack: str) -> None:
    if file.exists():
        restore_into_moto(
            Kept.decode(json.loads(file.read_text())), stack, account=MOTO_ACCOUNT, region=REGION
        )


def _keep(file: Path, stack: str) -> None:
    kept = kept_by_moto(stack, account=MOTO_ACCOUNT, region=REGION)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(kept.encode()))
    new.replace(file)


class _OneWriteAtATime:
    """moto is not atomic across threads: a conditional write could be torn. SQS's long polls must not wait for each other."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._lock = threading.Lock()
        self.writes = 0

    def __call__(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        service, _, operation = environment.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if "DynamoDB" not in service:
            return self._app(environment, start)
        with self._lock:
            answer = self._app(environment, start)
            self.writes += operation not in READS  # after it: who looks then sees what it wrote
            return answer
