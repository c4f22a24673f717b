"""How slow this machine is now: limits in CPU seconds hold on one that does nothing else, and grow with this factor elsewhere.

CPU time of the same work is twice as much where other processes use the caches, or on an older processor. So a limit is compared with
the work of a yardstick that runs beside it: a limit of 0.3 s is 0.45 s where the yardstick takes 1.5 times what it took when the limit
was set. A faster machine keeps the limit as it is.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

# What the yardsticks took, in CPU seconds, where the limits were set.
WORK_S = 0.046
START_S = 0.155
IMPORTS = (
    "import asyncio, argparse, json, logging, decimal, http.client, email.message, xml.dom.minidom, unittest"
)


def pace_of_work() -> float:
    """The factor for work of this process: dictionaries, texts and JSON, the best of three."""
    return max(1.0, min(_work_s() for _ in range(3)) / WORK_S)


def pace_of_starts() -> float:
    """The factor for a Python that starts and imports: the best of three."""
    return max(1.0, min(_start_s() for _ in range(3)) / START_S)


def _work_s() -> float:
    began = time.process_time()
    rows = [{"name": f"task_{number}", "state": ["done", number], "seen": {}} for number in range(200)]
    for _ in range(40):
        rows = [{**row, "seen": {"times": len(row)}} for row in json.loads(json.dumps(rows))]
    return time.process_time() - began


def _start_s() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
