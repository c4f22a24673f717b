"""Of the processes of a stack one ticks at a time; where its clock is deployed, none."""

from __future__ import annotations

import threading
import time

import pytest
from support.world import World

from headrace import Context, EmptyModel, Headrace, Settings
from headrace.engine.clock.tick import tick
from headrace.engine.clock.turn import TURN_MS, has_ticked, leaves_turn, takes_turn
from headrace.memory.wiring import connect
from headrace.runtime.process import Process
from headrace_handlers import clock


@pytest.fixture
def w() -> World:
    return World(plans={}, code={})


def test_one_of_several_ticks_for_as_long_as_it_does(w: World) -> None:
    for _ in range(5):
        assert [takes_turn(w.engine, name) for name in "abc"] == [True, False, False]
        w.clock.advance(60_000)


def test_another_one_takes_over_where_the_first_is_gone(w: World) -> None:
    assert takes_turn(w.engine, "a")
    w.clock.advance(TURN_MS - 1)
    assert not takes_turn(w.engine, "b")
    w.clock.advance(1)
    assert [takes_turn(w.engine, name) for name in "bac"] == [True, False, False]


def test_one_that_leaves_makes_room_at_once_and_cannot_put_another_out(w: World) -> None:
    takes_turn(w.engine, "a")
    leaves_turn(w.engine, "b")
    assert not takes_turn(w.engine, "b")
    leaves_turn(w.engine, "a")
    assert takes_turn(w.engine, "b")


def test_no_process_ticks_while_the_deployed_clock_does(w: World) -> None:
    assert takes_turn(w.engine, "a")
    has_ticked(w.engine)
    assert not takes_turn(w.engine, "a")
    w.clock.advance(TURN_MS)
    assert takes_turn(w.engine, "a")


def test_the_turn_and_the_cursor_are_one_item_and_keep_out_of_each_others_way(w: World) -> None:
    assert takes_turn(w.engine, "a")
    tick(w.engine)
    assert not takes_turn(w.engine, "b")


def an_app() -> Headrace:
    app = Headrace(config=Settings())

    @app.task(name="task")
    def task(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("w", workflows=[task], process=True, slots=2)
    app.use(connect())
    return app


def test_the_deployed_clock_takes_the_turn() -> None:
    app = an_app()
    takes_turn(app.engine, "a")
    clock.make_handler(app)({}, None)
    assert not takes_turn(app.engine, "a")


def test_a_process_takes_the_turn_and_leaves_it() -> None:
    app = an_app()
    process = Process(app._fleet()[0])
    running = threading.Thread(target=process.run)
    running.start()
    for _ in range(1_000):
        if not takes_turn(app.engine, "another"):
            break
        leaves_turn(app.engine, "another")
        time.sleep(0.01)
    else:
        raise AssertionError("the process has taken no turn")
    process.stopping.set()
    running.join(30)
    for _ in range(500):
        if takes_turn(app.engine, "another"):
            return
        time.sleep(0.01)
    raise AssertionError("the process has not left its turn")
