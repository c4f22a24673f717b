"""A no-op on procrastinate with PostgreSQL: `python procrastinate_app.py setup`, then `python procrastinate_app.py`."""

import os
import sys
import time

from procrastinate import App, PsycopgConnector
from seen import noop_ran

URL = os.environ["POSTGRES_URL"]
app = App(connector=PsycopgConnector(conninfo=URL))


@app.task(name="noop", queue="bench")
async def noop(sent: float) -> None:
    noop_ran(sent)


opened = False


def send(count: int) -> None:
    global opened
    if not opened:
        app.open()
        opened = True
    for _ in range(count):
        noop.defer(sent=time.time())


if __name__ == "__main__":
    if sys.argv[1:] == ["setup"]:
        with app.open():
            app.schema_manager.apply_schema()
    else:
        app.run_worker(queues=["bench"], concurrency=10, install_signal_handlers=True)
