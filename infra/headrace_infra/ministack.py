"""Start and stop MiniStack, the emulated AWS that needs no account and no Docker, on a loopback port.

MiniStack pins versions of botocore that differ from the project's, so it runs in a virtual environment of its own:
`.venv-ministack`, beside the project or above the current folder, or wherever HEADRACE_MINISTACK_PYTHON points to.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.errors import NotConfigured
from headrace_infra.local.emulated.guard import HEADER

REGION = "us-east-1"
ACCOUNT = "000000000000"
SERVER = Path(__file__).with_name("ministack_server.py")
START_S = 30.0
STOP_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ministack:
    """A MiniStack that runs: its port on 127.0.0.1, its process and the file of its log. `key`: what requests must have, if anything."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    key: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What boto3, `sam` and the `aws` command need to work on it, and on nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key or "test",
            "AWS_SECRET_ACCESS_KEY": self.key or "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def reset(self) -> None:
        """Forget every resource: a few milliseconds."""
        self._ask("POST", "/_ministack/reset")

    def healthy(self) -> bool:
        try:
            return self._ask("GET", "/_ministack/health") == 200
        except (OSError, http.client.HTTPException):
            return False

    def _ask(self, method: str, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, headers={} if self.key is None else {HEADER: self.key})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


def python_with_ministack() -> Path | None:
    """The interpreter of the environment that has MiniStack; None if there is none."""
    told = os.environ.get("HEADRACE_MINISTACK_PYTHON")
    if told:
        return Path(told)
    here = Path(__file__).resolve()
    for folder in (*here.parents, Path.cwd(), *Path.cwd().parents):
        found = folder / ".venv-ministack" / "bin" / "python"
        if found.exists():
            return found
    return None


@contextmanager
def ministack(
    *,
    auth: bool = False,
    key: str | None = None,
    port: int | None = None,
    log: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Ministack]:
    """A MiniStack for the time of the block, on 127.0.0.1 and with temporary files of its own, which go with it.

    auth: enforce the policies of roles, as AWS does; access key "test" may do all. key: the access key id that every request must have, as `local.emulated.guard` says; None: any. port: default any free one. log: a file to
    keep its log in. settings: MiniStack's own. It ends with this process, however that ends. NotConfigured where MiniStack is not installed or does not start.
    """
    python = python_with_ministack()
    if python is None:
        raise NotConfigured(
            "MiniStack is not installed here. Give it an environment of its own: "
            "python3 -m venv .venv-ministack && .venv-ministack/bin/pip install ministack==1.5.33"
        )
    folder = Path(tempfile.mkdtemp(prefix="headrace-ministack-"))
    try:
        running = _start(
            python, port or free_port(), folder, log or folder / "ministack.log", auth, key, settings or {}
        )
        try:
            _wait(running)
            yield running
        finally:
            _stop(running.process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(
    python: Path, port: int, folder: Path, log: Path, auth: bool, key: str | None, settings: Mapping[str, str]
) -> Ministack:
    """Its functions inherit this environment: no settings of AWS, of Headrace or of Python may leak into them."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "HEADRACE_", "PYTHON", "VIRTUAL_ENV", "PYTEST_"))
    }
    url = f"http://127.0.0.1:{port}"
    environment = kept | {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
        "MINISTACK_REGION": REGION,
        "AUTH": "true" if auth else "false",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
        **({} if key is None else {"HEADRACE_GUARD_KEY": key}),
    }
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(
                [python, "-P", str(SERVER)],
                env=environment,
                cwd=folder,
                stdout=out,
                stderr=out,
                stdin=subprocess.PIPE,  # never written to: its end tells the server that this process is gone
                start_new_session=True,  # Ctrl-C is this process's business
            )
    except OSError as error:
        raise NotConfigured(
            f"{python} cannot be run ({error.strerror}): HEADRACE_MINISTACK_PYTHON names the Python that has MiniStack"
        ) from error
    return Ministack(port=port, process=process, log=log, key=key)


def _wait(running: Ministack) -> None:
    deadline = time.monotonic() + START_S
    while not running.healthy():
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise NotConfigured(f"MiniStack did not start on port {running.port}:\n{_tail(running.log)}")
        time.sleep(0.02)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2_000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """`python -m headrace_infra.ministack`: run until it is interrupted, and say how to reach it."""
    with contextlib.suppress(KeyboardInterrupt), ministack() as running:
        for name, value in running.environment().items():
            print(f"export {name}={value}")
        sys.stdout.flush()
        running.process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
