"""Are the programs Hatchet's? `python tests/outside/check_programs.py PYTHON`: a Python that has hatchet-sdk, and pytest, installed.

Each program is imported there as it is, which defines its tasks with the real package: an argument or a name that it does not have is an
error. Nothing is connected to.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
IMPORT = "import runpy, sys; runpy.run_path(sys.argv[1])"


def token() -> str:
    """No one's: the real client reads it where it is made."""
    claims = {"sub": "none", "server_url": "http://127.0.0.1", "grpc_broadcast_address": "127.0.0.1:1"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)]
    return ".".join([*(part.decode().rstrip("=") for part in parts), "none"])


def main(python: str) -> int:
    environment = {**os.environ, "HATCHET_CLIENT_TOKEN": token()}
    failed = 0
    for path in PROGRAMS:
        done = subprocess.run(
            [python, "-W", "ignore", "-c", IMPORT, str(path)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        failed += done.returncode != 0
        sys.stdout.write(f"{path.stem}: {'defined' if done.returncode == 0 else done.stderr.strip()}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
