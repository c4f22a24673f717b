"""The stack that `headrace dev` runs in this project, found without any setting.

`headrace dev` writes `.headrace/dev.json` and holds a lock on it while it runs: the kernel drops the lock however the process
ends, so a file that was left behind is not believed. Only a file of the same user that names a loopback address counts. A stack or an
endpoint that the environment names comes first, and HEADRACE_DEV=0 looks for none.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from headrace.core.values import dataclass

FILE = Path(".headrace") / "dev.json"
LOOPBACK = "http://127.0.0.1:"
DEFAULT_STACK = "headrace"
NAMED_BY = ("HEADRACE_STACK", "HEADRACE_TABLE", "AWS_ENDPOINT_URL", "AWS_LAMBDA_FUNCTION_NAME")


class Named(Protocol):
    """What of the settings says which stack is meant."""

    @property
    def stack(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStack:
    """Where it is, and the key that it is used with."""

    endpoint: str
    stack: str
    region: str
    key: str

    def client_arguments(self) -> dict[str, Any]:
        """What boto3's `client` needs to work on it, and on nothing else."""
        return {
            "endpoint_url": self.endpoint,
            "region_name": self.region,
            "aws_access_key_id": self.key,
            "aws_secret_access_key": self.key,
        }


def running_here(settings: Named) -> LocalStack | None:
    """The stack of the `headrace dev` that runs in this folder or one above it; None where none runs or another is meant."""
    if os.environ.get("HEADRACE_DEV") == "0" or any(name in os.environ for name in NAMED_BY):
        return None
    try:
        here = Path.cwd()
    except OSError:  # the folder is gone
        return None
    for folder in (here, *here.parents):
        found = _read(folder / FILE)
        if found is not None:
            return found if settings.stack in (DEFAULT_STACK, found.stack) else None
    return None


def _read(path: Path) -> LocalStack | None:
    try:
        with path.open() as file:
            if os.fstat(file.fileno()).st_uid != os.getuid() or not is_locked(file.fileno()):
                return None
            value = json.load(file)
            found = LocalStack(
                endpoint=value["endpoint"], stack=value["stack"], region=value["region"], key=value["key"]
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found.endpoint.startswith(LOOPBACK) else None


def is_locked(descriptor: int) -> bool:
    """Whether another process holds the file's lock."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock, so nothing is believed there
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


@contextlib.contextmanager
def announced(folder: Path, stack: LocalStack, **more: object) -> Iterator[Path]:
    """Let processes in `folder` find the stack for the time of the block. BlockingIOError where another one is announced there."""
    import fcntl

    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+") as file:
        os.fchmod(file.fileno(), 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        value = {
            "endpoint": stack.endpoint,
            "stack": stack.stack,
            "region": stack.region,
            "key": stack.key,
            "pid": os.getpid(),
        }
        file.truncate(0)
        file.write(json.dumps(value | more, indent=2))
        file.flush()
        try:
            yield path
        finally:
            file.truncate(0)
