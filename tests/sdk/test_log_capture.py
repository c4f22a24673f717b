"""Lines of the configured logger are stored with the run whose task says them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from headrace import ClientConfig, Context, EmptyModel, Hatchet
from headrace.runtime.capture import RunLogs
from headrace_infra.testing import local


@pytest.fixture
def shop() -> Iterator[logging.Logger]:
    logger = logging.getLogger("shop")
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers.clear()


def stored(app: Hatchet, run_id: str) -> list[tuple[str, str]]:
    return [(row.level or "", row.message) for row in app.logs.list(run_id).rows]


def talk(logger: logging.Logger, ctx: Context) -> None:
    ctx.log("by ctx.log")
    logger.info("sold %d", 3)
    logging.getLogger("shop.till").warning("till is empty")
    logger.debug("below the level")
    logging.getLogger("other").error("of another logger")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_lines_of_the_logger_and_of_those_below_it(shop: logging.Logger, kind: str) -> None:
    app = Hatchet(config=ClientConfig(logger=shop))

    def sync_task(input: EmptyModel, ctx: Context) -> dict[str, int]:
        talk(shop, ctx)
        return {}

    async def async_task(input: EmptyModel, ctx: Context) -> dict[str, int]:
        await asyncio.to_thread(talk, shop, ctx)
        return {}

    task = app.task(name="task")(sync_task) if kind == "sync" else app.task(name="task")(async_task)
    with local(app, backend="memory"):
        shop.info("outside of tasks")
        ref = task.run(wait_for_result=False)
        ref.result()
        shop.info("after it")
        assert stored(app, ref.workflow_run_id) == [
            ("INFO", "by ctx.log"),
            ("INFO", "sold 3"),
            ("WARNING", "till is empty"),
        ]


def test_an_exception_is_stored_with_its_traceback(shop: logging.Logger) -> None:
    app = Hatchet(config=ClientConfig(logger=shop))

    def work(input: EmptyModel, ctx: Context) -> dict[str, int]:
        try:
            raise KeyError("price")
        except KeyError:
            shop.exception("no price")
        return {}

    task = app.task(name="task")(work)
    with local(app, backend="memory"):
        ref = task.run(wait_for_result=False)
        ref.result()
        [(level, text)] = stored(app, ref.workflow_run_id)
    assert level == "ERROR"
    assert text.startswith("no price\nTraceback")
    assert text.endswith("KeyError: 'price'")


@pytest.mark.parametrize("captured", [True, False])
def test_capture_can_be_disabled(shop: logging.Logger, captured: bool) -> None:
    for _ in range(2):  # one handler, however many apps have the logger
        app = Hatchet(config=ClientConfig(logger=shop, disable_log_capture=not captured))

        def work(input: EmptyModel, ctx: Context) -> dict[str, int]:
            shop.info("hello")
            return {}

        task = app.task(name="task")(work)
        with local(app, backend="memory"):
            ref = task.run(wait_for_result=False)
            ref.result()
            assert len(stored(app, ref.workflow_run_id)) == captured
    assert sum(isinstance(each, RunLogs) for each in shop.handlers) == captured


def test_what_storing_lines_logs_is_left_out() -> None:
    """With the root logger at DEBUG, a store that logs each call would never come to an end."""
    root = logging.getLogger()
    before, handlers = root.level, list(root.handlers)
    app = Hatchet(config=ClientConfig(logger=root))

    def work(input: EmptyModel, ctx: Context) -> dict[str, int]:
        for n in range(60):
            logging.getLogger("mine").debug("line %d", n)
        return {}

    task = app.task(name="task")(work)
    root.setLevel(logging.DEBUG)
    try:
        with local(app):
            ref = task.run(wait_for_result=False)
            ref.result()
            found = [text for _, text in stored(app, ref.workflow_run_id)]
    finally:
        root.setLevel(before)
        root.handlers[:] = handlers
    assert [text for text in found if text.startswith("line")] == [f"line {n}" for n in range(60)]
    assert len(found) < 200
