"""The servers that peers of the benchmark keep their state in, each on 127.0.0.1 for the time of a block: PostgreSQL and Restate."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_S = 30.0


class NotInstalled(Exception):
    """What is missing, and how to get it."""


@contextmanager
def postgres() -> Iterator[Mapping[str, str]]:
    """A cluster of its own, with PostgreSQL's defaults (it waits for the disk at each commit). POSTGRES_URL is what clients need."""
    programs = _programs()
    owner = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    with _folder("postgres") as folder:
        if owner is not None:
            shutil.chown(folder, owner)
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "bench", "--auth=trust"],
            check=True, capture_output=True, user=owner, cwd=folder,
        )  # fmt: skip
        port = _free_port()
        listen = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", "-p", str(port), *listen],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=owner, cwd=folder,
        )  # fmt: skip
        try:
            ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            _wait("PostgreSQL", lambda: subprocess.run(ready, check=False).returncode == 0)
            yield {"POSTGRES_URL": f"postgresql://bench@127.0.0.1:{port}/postgres"}
        finally:
            _stop(server)


def create_database(url: str, name: str) -> str:
    """The URL of a new database in the cluster."""
    subprocess.run(
        [_programs() / "psql", "-q", url, "-c", f"CREATE DATABASE {name}"], check=True, capture_output=True
    )
    return f"{url.rsplit('/', 1)[0]}/{name}"


def _programs() -> Path:
    found = shutil.which("postgres")
    folders = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin")),
        *([Path(found).resolve().parent] if found else []),
    ]
    for folder in reversed(folders):
        if all((folder / name).exists() for name in ("initdb", "postgres", "pg_isready", "psql")):
            return folder
    raise NotInstalled("PostgreSQL: apt-get install postgresql")


@contextmanager
def restate() -> Iterator[Mapping[str, str]]:
    """A Restate server of one node. RESTATE_INGRESS is where clients send, RESTATE_ADMIN where services are registered."""
    programs = sorted(HERE.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))
    if not programs:
        raise NotInstalled("Restate: npm --prefix benchmarks/peers ci")
    with _folder("restate") as folder:
        node, ingress, admin = _free_port(), _free_port(), _free_port()
        settings = {
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE": "512 MiB",
            "RESTATE_DEFAULT_NUM_PARTITIONS": "4",
        }
        server = subprocess.Popen(
            [programs[0], "--no-logo", "--listen-mode", "tcp", "--bind-ip", "127.0.0.1", "--bind-port", str(node),
             "--base-dir", folder, "--node-name", "bench"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **settings}, cwd=folder,
        )  # fmt: skip
        try:
            _wait(
                "Restate",
                lambda: _status(admin, "/health") == 200 and _status(ingress, "/restate/health") == 200,
            )
            yield {"RESTATE_INGRESS": f"127.0.0.1:{ingress}", "RESTATE_ADMIN": f"127.0.0.1:{admin}"}
        finally:
            _stop(server)


def register(admin: str, port: int) -> None:
    """Tell Restate's server where the services of a worker are."""
    _wait("the Restate service", lambda: _listens(port))
    connection = http.client.HTTPConnection(admin, timeout=30)
    body = json.dumps({"uri": f"http://127.0.0.1:{port}", "force": True})
    connection.request("POST", "/deployments", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status not in (200, 201):
        raise RuntimeError(f"Restate refused the service: {said.decode()}")


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"headrace-bench-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _wait(what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > deadline:
            raise NotInstalled(f"{what}: it did not start within {START_S:g} s")
        time.sleep(0.05)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
