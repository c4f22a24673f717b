"""Engines with one mistake each in how durable tasks wait: the exploration and the simulation must find them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

from headrace.core.changes import ALWAYS, Update, every
from headrace.core.durable.answers import places_in_joins
from headrace.core.durable.encoding import encode_tail
from headrace.core.run.transitions import fence
from headrace.core.run.transitions.claim import Resumed
from headrace.core.table import run_key
from headrace.engine.catalog.plans import record_in
from headrace.engine.durable import answers, journal, log
from headrace.engine.engine import Engine
from headrace.engine.events import handle, subscriptions
from headrace.engine.runs import claim as claiming
from headrace.engine.runs import resetting


def no_look_after_the_suspension() -> list[Any]:
    return [patch.object(answers, "look_after", lambda *arguments: None)]


def wakes_before_it_writes() -> list[Any]:
    def offer(engine: Any, item: Any, event: Any, payload: Any, wake: Any) -> None:
        if "by" in item:
            return
        wake(engine, str(item["run"]), str(item["task"]))
        expression = str(item["expr"]) if "expr" in item else None
        if subscriptions._takes(engine, expression, event, payload):
            subscriptions._write(engine, subscriptions.key_of(item), event)

    return [patch.object(subscriptions, "_offer", offer)]


def two_handle_an_event_at_once() -> list[Any]:
    return [patch.object(handle, "_busy_s", lambda *of: 0)]


def an_event_is_given_again() -> list[Any]:
    """A subscription does not say which events its task has had."""
    return [patch.object(subscriptions, "short", lambda event_id: "")]


def subscribing_again_takes_the_event_away() -> list[Any]:
    return [patch.object(subscriptions, "ITEM_MISSING", ALWAYS)]


def the_order_is_not_written() -> list[Any]:
    """What is answered is seen, and written with the next commit only."""

    def resumption(engine: Any, message: Any) -> Any:
        found = original(engine, message)
        if not isinstance(found, answers.Resumption):
            return found
        row = found.record.tasks[message.task]
        return replace(
            found,
            resumed=replace(found.resumed, log=row.log or ""),
            log=replace(found.log, tail=log.tail_of(found.record, message.task)),
        )

    original = answers.resumption
    return [
        patch.object(answers, "resumption", resumption),
        patch.object(journal.Journal, "save", lambda of: True),
    ]


def a_stale_timer_resumes() -> list[Any]:
    """The message of an earlier ticket claims, and is taken for the answer of what the task sleeps for now."""

    def resumption(engine: Any, message: Any) -> Any:
        record = record_in(engine, engine.store.get(run_key(message.run_id)))
        row = record.tasks.get(message.task) if record is not None else None
        if record is None or row is None or not row.resumes or row.ticket <= message.ticket:
            return original(engine, message)
        entries = log.tail_of(record, message.task).entries
        late = Engine(store=engine.store, queues=engine.queues, clock=_AtTheEnd(), ids=engine.ids)
        places = places_in_joins(entries)
        found = {each.node: each for each in answers.look(late, record, message.task, entries, places)}
        tail = log.with_answers(log.tail_of(record, message.task), found)
        resumed = Resumed(log=encode_tail(tail) or "", invocations=row.invocations + 1)
        return answers.Resumption(resumed=resumed, record=record, log=log.Log(tail, {}), answered=())

    def claim(at: Any, *, resumed: Any = None, **options: Any) -> Update:
        update = claims(at, resumed=resumed, **options)
        resumes = every(fence.NOT_CANCELLED, fence.unclaimed(at.number))
        return update if resumed is None else replace(update, require=resumes)

    original, claims = answers.resumption, claiming.claim
    return [patch.object(answers, "resumption", resumption), patch.object(claiming, "claim", claim)]


class _AtTheEnd:
    """A clock by which every sleep is over."""

    def now_ms(self) -> int:
        return 10**13

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def who_looks_back_subscribes_after() -> list[Any]:
    def look_back(engine: Any, sub: Any, since_ms: int) -> Any:
        found = list(subscriptions.records.of_scope(engine, sub.event_key, sub.scope, since_ms=since_ms))
        arm(engine, [sub])
        for event in found[:1]:
            subscriptions._write(engine, subscriptions.subscription_key(sub), event)

    def not_yet(engine: Any, subs: Any) -> None:
        """Put by the look back."""

    arm = subscriptions.arm
    return [patch.object(subscriptions, "look_back", look_back), patch.object(subscriptions, "arm", not_yet)]


# ---------------------------------------------------------------- of resets


def a_reset_keeps_the_answer_it_was_to_make_again() -> list[Any]:
    """It keeps the operations up to the node, with what an earlier generation was answered."""

    def branched(tail: Any, parts: Any, node: int, *, number: int) -> Any:
        kept = original(tail, parts, node + 1, number=number)
        return replace(kept, branches=original(tail, parts, node, number=number).branches)

    original = resetting.branched
    return [patch.object(resetting, "branched", branched)]


def a_reset_takes_the_last_branch() -> list[Any]:
    return [patch.object(resetting, "_log_of", lambda engine, record, task, current, branch: current)]


def a_reset_leaves_the_sealed_parts_out() -> list[Any]:
    original = resetting.branched
    return [
        patch.object(
            resetting, "branched", lambda *given, **options: replace(original(*given, **options), parts=())
        )
    ]


def a_reset_seals_an_empty_part() -> list[Any]:
    original = resetting.encode_part
    return [patch.object(resetting, "encode_part", lambda entries: original(()))]


def a_branch_has_the_number_of_another() -> list[Any]:
    original = resetting.branched
    return [
        patch.object(
            resetting, "branched", lambda *given, number: original(*given, number=max(1, number - 1))
        )
    ]


def a_reset_does_not_wait_for_the_end() -> list[Any]:
    return [patch.object(resetting, "finished", lambda record: True)]
