"""One worker process: `python -m endurance.worker general`."""

from __future__ import annotations

import logging
import sys

from endurance.app import general, narrow

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # throttles and lost calls are what it is for
    {"general": general, "narrow": narrow}[sys.argv[1]].start()
