"""A payload codec: nothing of a payload leaves the process in the clear, and what cannot be opened says why."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace import (
    Context,
    Debounce,
    DefaultFilter,
    DurableContext,
    EmptyModel,
    Headrace,
    TTLBasedIdempotencyConfig,
    UserEventCondition,
)
from headrace.core import table
from headrace.core.changes import Item, Key, Put
from headrace.core.durable.encoding import encode_entries, encode_tail
from headrace.core.durable.log import Branch, Entry, Kind, Part, Tail
from headrace.core.run.stored.texts import unzipped, zipped
from headrace.crypto import AesGcmCodec, KmsKey, LocalKey
from headrace.engine.engine import Limits
from headrace.errors import AccessDenied, DefinitionError, FailedTaskRunExceptionGroup, PayloadSealedError
from headrace.memory.store import MemoryStore
from headrace.ports import Ports
from headrace.values.sealed import SealedStore
from headrace.values.sealing import Sealing, compact
from headrace.values.sealing_rules import apply, rules_for
from headrace_handlers import worker
from headrace_infra.compile import compile_app
from headrace_infra.local.dispatcher import LambdaContext
from headrace_infra.testing import Backend, local

SECRET = "xyzzy-4711"


def key(id: str, byte: int = 7) -> LocalKey:
    return LocalKey(id, base64.b64encode(bytes([byte]) * 32).decode())


class Watching:
    """A port as it is, which keeps what is given to it."""

    def __init__(self, port: Any, seen: list[str]) -> None:
        self._port, self._seen = port, seen

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in ("write", "write_many", "put_blob", "send"):
            return found

        def noted(*given: Any) -> Any:
            self._seen.append("".join(plain(each) for each in given))
            return found(*given)

        return noted


def plain(value: Any) -> str:
    """A value as text, whatever is compressed in it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return zlib.decompress(value).decode()
        except zlib.error:
            return repr(value)
    if isinstance(value, dict):
        return "".join(f"{name}={plain(each)};" for name, each in value.items())
    if isinstance(value, list | tuple):
        return "".join(plain(each) for each in value)
    if hasattr(value, "__slots__") and hasattr(value, "__dataclass_fields__"):
        return plain({name: getattr(value, name) for name in value.__dataclass_fields__})
    return repr(value)


class Watched(Headrace):
    """An app whose ports are watched: `seen` is what was written and sent, as it left the process."""

    seen: list[str]

    def use(self, ports: Ports | None, *, limits: Limits | None = None) -> None:
        if ports is not None:
            self.seen = []
            ports = replace(
                ports, store=Watching(ports.store, self.seen), queues=Watching(ports.queues, self.seen)
            )
        super().use(ports, limits=replace(limits or Limits(), hold_s=0.01))


def everything(hatchet: Headrace) -> Any:
    """A durable task that takes, logs, streams, remembers, waits, calls a child that fails once, and returns what is secret."""

    @hatchet.task(name="child", retries=1)
    def child(input: dict[str, Any], ctx: Context) -> dict[str, str]:
        if ctx.retry_count == 0:
            raise ValueError(f"not yet: {input['what'] * 300}")  # the error is an item beside the record
        return {"child": input["what"]}

    @hatchet.durable_task(name="parent", execution_timeout=timedelta(minutes=5))
    async def parent(input: dict[str, Any], ctx: DurableContext) -> dict[str, Any]:
        ctx.log(f"took {input['what']}")
        await ctx.aio_put_stream(f"chunk of {input['what']}")
        await ctx.aio_put_stream(input["what"].encode())
        memo = await ctx._aio_memo(lambda: {"memo": input["what"]}, dict[str, str])
        await ctx._aio_memo(lambda n: input["what"] * 300, str, 2)  # the log is stored in parts
        found = await child.aio_run({"what": input["what"]})
        event = await ctx.aio_wait_for_event("paid", "input.amount > 1")
        return {"all": [memo, found, event], "filler": SECRET * 40}

    @hatchet.task(name="failing", retries=1)
    def failing(input: dict[str, Any], ctx: Context) -> None:
        raise RuntimeError(f"no: {input['what']}")

    @hatchet.task(
        name="triggered",
        on_events=["paid"],
        default_filters=[DefaultFilter(expression="true", scope="t", payload={"f": SECRET})],
        on_crons=["0 0 1 * *"],
        cron_input={"what": SECRET},
        idempotency=TTLBasedIdempotencyConfig("'one'", timedelta(minutes=1)),
    )
    def triggered(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return {"got": input["what"]}

    waiting = hatchet.workflow(name="waiting")

    @waiting.task(wait_for=[UserEventCondition("paid")])
    def after_paid(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return {"first": SECRET, "more": SECRET * 3_000}  # an item of its own

    @waiting.task(parents=[after_paid])
    def middle(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return {"parent": ctx.task_output(after_paid)["first"], "passed on": [SECRET] * 20}

    @waiting.task(parents=[middle])
    def last(input: EmptyModel, ctx: Context) -> dict[str, Any]:
        return ctx.task_output(middle)  # like what the record holds already, and yet in the clear nowhere

    return parent, failing, waiting, triggered


@contextmanager
def logged() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage() + str(record.exc_info))

    handler, root = Kept(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)


@pytest.mark.parametrize("backend", ["memory", "moto"])
def test_nothing_of_a_payload_leaves_in_the_clear(
    backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    hatchet = Watched(codec=AesGcmCodec([key("k1")]))
    parent, failing, waiting, triggered = everything(hatchet)
    with logged() as lines, local(hatchet, backend=backend, background=False) as stack:
        ref = parent.run(input={"what": SECRET}, wait_for_result=False)
        bad = failing.run(input={"what": SECRET, "more": SECRET * 30_000}, wait_for_result=False)
        flow = waiting.run(wait_for_result=False)
        again = failing.run(input={"what": "x"}, wait_for_result=False)
        failing.run(input={"what": SECRET}, debounce=Debounce("k", "2s"), wait_for_result=False)
        triggered.run(input={"what": SECRET}, wait_for_result=False)
        failing.run(
            input={"what": SECRET, "more": SECRET * 3_000}, wait_for_result=False
        )  # an item of its own
        hatchet.filters.create("triggered", "true", "s", {"f": SECRET})
        hatchet.cron.create("failing", "monthly", "0 0 1 * *", {"what": SECRET})
        if backend == "memory":  # an hour in minutes of the clock, each many requests elsewhere
            later = datetime.fromtimestamp(stack.clock.now_ms() / 1000, UTC) + timedelta(minutes=20)
            hatchet.scheduled.create("failing", later, {"what": SECRET})
            failing.run(input={"what": SECRET}, delay=timedelta(hours=1), wait_for_result=False)
        stack.drain()
        assert not hatchet.engine.limits.pack_outputs, (
            "a packed output is readable by the input that it was packed with"
        )
        stack.push_event("paid", {"amount": 2, "what": SECRET}, scope="s")
        stack.drain()
        hatchet.runs.replay(again.workflow_run_id, input={"what": SECRET})
        stack.drain()
        assert flow.result()["last"] == {"parent": SECRET, "passed on": [SECRET] * 20}
        assert ref.result()["all"][0] == {"memo": SECRET}
        assert ref.result()["all"][1] == {"child": SECRET}
        assert ref.result()["all"][2]["what"] == SECRET
        for failed in (bad, again):
            with pytest.raises(FailedTaskRunExceptionGroup, match=SECRET):
                failed.result()
        assert SECRET in hatchet.runs.get(ref.workflow_run_id).tasks[0].input["what"]
        assert hatchet.logs.list(ref.workflow_run_id).rows[0].message == f"took {SECRET}"
    out = capfd.readouterr()
    leaks = [text for text in (*hatchet.seen, *lines, out.out, out.err) if SECRET in text]
    assert not leaks, leaks[0][:2000]
    assert len(hatchet.seen) > 20
    written = "".join(hatchet.seen)
    kinds = [
        "line#",
        "stream#",
        "events#",
        "sub#",
        "filters",
        "crons",
        "/in",
        "attempt#",
        "log#parent#",
        "debounced",
        "idem#",
        "catalog",
        "replay",
    ]
    later_kinds = ["scheduled", "timer#"] if backend == "memory" else []
    assert [kind for kind in (*kinds, *later_kinds) if kind not in written] == []


BODY = compact({"event": {"id": "e", "payload": json.dumps({"what": SECRET})}})


@pytest.mark.parametrize(
    ("where", "item"),
    [
        (table.webhook_key("w"), {"static": json.dumps({"what": SECRET}), "key": "clear"}),
        (table.dead_letter_key(1, "m"), {"why": f"it was {SECRET}", "body": BODY}),
        (table.cron_key("c"), {"problem": SECRET}),
        (table.scheduled_key("s"), {"problem": SECRET}),
        (table.debounced_key("d"), {"problem": SECRET}),
        (table.run_key("r"), {"tasks": {"0": {"s": "N", "x": {"1": f"no such key: {SECRET}"}}}}),
        (table.chunk_key("r", 1, "o", 1), {"chunk": SECRET.encode() + b"\xff"}),
        (
            table.run_key("r"),
            {
                "in": zipped(json.dumps({"what": SECRET * 100})),
                "tasks": {"0": 'C5k;9;2;f3x_{"r":1}:{"what":"xyzzy-4711"}'},
            },
        ),
    ],
)
def test_what_is_sealed_is_opened_as_it_was(where: Key, item: Item) -> None:
    store = MemoryStore()
    codec = AesGcmCodec([key("k1")])
    sealed = SealedStore(store, Sealing(codec, seals=True), Sealing(codec, seals=False))
    sealed.write(Put(key=where, item=item))
    assert SECRET not in plain(store.get(where))
    found = sealed.get(where)
    assert found is not None
    assert plain({name: each for name, each in found.items() if name not in ("pk", "sk")}) == plain(item)


# ---------------------------------------------------------------- keys


@contextmanager
def on_ports_of(hatchet: Shared, codec: AesGcmCodec | None) -> Iterator[tuple[Headrace, Any]]:
    """The same app on the same stack, with another codec."""
    ports = hatchet.given
    other, task = shared(codec)
    other.use(ports)
    yield other, task


class Shared(Headrace):
    """An app that gives its ports away."""

    given: Ports

    def use(self, ports: Ports | None, *, limits: Limits | None = None) -> None:
        if ports is not None:
            self.given = ports
        super().use(ports, limits=limits)


def shared(codec: AesGcmCodec | None) -> tuple[Shared, Any]:
    hatchet = Shared(codec=codec)

    @hatchet.task(name="echo")
    def task(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        ctx.log(f"line of {input['what']}")
        if input.get("fails"):
            raise ValueError(f"no {input['what']}")
        return dict(input)

    return hatchet, task


def test_old_and_new_keys_side_by_side() -> None:
    old, new = key("old", 1), key("new", 2)
    hatchet, task = shared(AesGcmCodec([old]))
    with local(hatchet, backend="memory", background=False) as stack:
        before = task.run(input={"what": SECRET}, wait_for_result=False)
        stack.drain()
        with on_ports_of(hatchet, AesGcmCodec([new, old])) as (rotated, again):
            assert rotated.runs.get_run_ref(before.workflow_run_id).result() == {"echo": {"what": SECRET}}
            again.run(input={"what": SECRET}, wait_for_result=False)
        [message] = hatchet.given.queues.receive("default", limit=1, wait_s=0)
        assert "new." in message.body


@pytest.mark.parametrize(
    ("codec", "why"),
    [
        (AesGcmCodec([key("other")]), "it was sealed with key 'k1', and this codec has other"),
        (AesGcmCodec([key("k1", 9)]), "it was changed, or sealed with another key of the id 'k1'"),
        (None, r"no codec was given here: Headrace\(codec=...\)"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_the_reason(codec: AesGcmCodec | None, why: str) -> None:
    hatchet, task = shared(AesGcmCodec([key("k1")]))
    with local(hatchet, backend="memory", background=False) as stack:
        done = task.run(input={"what": SECRET}, wait_for_result=False)
        stack.drain()
        started = task.run(input={"what": SECRET}, wait_for_result=False)
        [message] = hatchet.given.queues.receive("default", limit=1, wait_s=0)
        with on_ports_of(hatchet, codec) as (other, _):
            with pytest.raises(PayloadSealedError, match=why):
                other.runs.get_run_ref(done.workflow_run_id).result()
            line = other.logs.list(done.workflow_run_id).rows[0].message
            assert line.startswith("(sealed by a payload codec, ")
            assert SECRET not in str(other.runs.get(done.workflow_run_id))

            # a worker fails the task with the reason, and the run's owner reads it
            worker.make_handler(other, "default")(delivered(message.body), LambdaContext("default", 60))
            with pytest.raises(FailedTaskRunExceptionGroup, match="the input is sealed"):
                other.runs.get_run_ref(started.workflow_run_id).result()
        assert hatchet.runs.get(started.workflow_run_id).run.input == {"what": SECRET}, (
            "still as it was sealed"
        )


def delivered(body: str) -> dict[str, Any]:
    """A message as Lambda gives it to its function."""
    record = {"messageId": "m1", "receiptHandle": "r1", "body": body, "eventSource": "aws:sqs"}
    return {"Records": [{**record, "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"}}]}


def test_a_function_opens_what_lambda_received_for_it() -> None:
    hatchet, task = shared(AesGcmCodec([key("k1")]))
    with local(hatchet, backend="memory", background=False):
        ref = task.run(input={"what": SECRET}, wait_for_result=False)
        [message] = hatchet.given.queues.receive("default", limit=1, wait_s=0)
        assert SECRET not in message.body
        worker.make_handler(hatchet, "default")(delivered(message.body), LambdaContext("default", 60))
        assert ref.result() == {"what": SECRET}


def test_an_input_that_looks_sealed_is_sealed_like_any_other() -> None:
    """Else it would be stored in the clear; or, copied from another run, be opened as that run's."""
    codec = AesGcmCodec([key("k1")])
    hatchet = Watched(codec=codec)
    stolen = codec.seal(b'\x00{"what":"of another run"}')

    @hatchet.task(name="echo")
    def task(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
        return {"got": input}

    with local(hatchet, backend="memory", background=False) as stack:
        ref = task.run(input={"$sealed": stolen}, wait_for_result=False)
        stack.drain()
        assert stolen not in "".join(hatchet.seen)
        with pytest.raises(FailedTaskRunExceptionGroup, match="the input is sealed"):
            ref.result()


def test_a_stack_may_begin_with_a_codec_while_runs_go_on() -> None:
    hatchet, task = shared(None)
    with local(hatchet, backend="memory", background=False):
        ref = task.run(input={"what": "in the clear"}, wait_for_result=False)
        [message] = hatchet.given.queues.receive("default", limit=1, wait_s=0)
        with on_ports_of(hatchet, AesGcmCodec([key("k1")])) as (other, _):
            worker.make_handler(other, "default")(delivered(message.body), LambdaContext("default", 60))
            assert other.runs.get_run_ref(ref.workflow_run_id).result() == {"echo": {"what": "in the clear"}}


def test_a_data_key_is_asked_for_once_and_again_when_it_is_old() -> None:
    asked: list[str] = []

    class Counted(LocalKey):
        def secret(self) -> bytes:
            asked.append(self.id)
            return LocalKey.secret(self)

    one = Counted("k1", key("k1").text)
    codec = AesGcmCodec([one])
    assert {codec.open(codec.seal(b"a")), codec.open(codec.seal(b"a"))} == {b"a"}
    assert asked == ["k1"]
    forgetful = AesGcmCodec([one], kept=timedelta(0))
    forgetful.open(forgetful.seal(b"a"))
    assert asked == ["k1"] * 3


def test_kms_unwraps_a_data_key_for_its_own_id_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from moto import mock_aws

    from headrace.aws.kms import create

    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        arn = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
        wrapped = create(arn, "2026-11")
        codec = AesGcmCodec([KmsKey("2026-11", wrapped, arn)])
        token = codec.seal(b"a")
        assert codec.open(codec.seal(SECRET.encode())) == SECRET.encode()
        wrong = AesGcmCodec([KmsKey("2026-12", create(arn, "2026-11"), arn)])
        with pytest.raises(DefinitionError, match="data key 2026-12 was not wrapped by KMS key"):
            wrong.seal(b"")
        gone = arn.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
        fresh = AesGcmCodec([KmsKey("2026-11", wrapped, gone)])
        # not taken for a payload that can never be opened: a person has to act, and then it is
        with pytest.raises(AccessDenied, match=f"KMS key {gone} cannot be used for data key 2026-11"):
            fresh.open(token)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: AesGcmCodec([]), "has no key"),
        (lambda: AesGcmCodec([key("a"), key("a")]), "have the same id"),
        (lambda: AesGcmCodec([key("a b")]), "the id of a key is 'a b'"),
        (lambda: LocalKey("a", "AAAA"), "key 'a' has 3 bytes: give 32"),
        (lambda: LocalKey("a", "?"), "key 'a' is not base64"),
        (lambda: KmsKey("a", "AAAA", "alias/x"), "give the ARN of the KMS key"),
    ],
)
def test_keys_that_cannot_work_are_refused(make: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        make()


def test_apps_of_one_worker_have_one_codec() -> None:
    one, _ = shared(AesGcmCodec([key("k1")]))
    _, task = shared(None)
    with pytest.raises(DefinitionError, match="give both apps the same object as codec="):
        one.worker("w", workflows=[task])


def test_the_template_lets_functions_unwrap_the_keys_and_what_only_looks_not() -> None:
    arn = "arn:aws:kms:us-east-1:123456789012:key/1"
    hatchet, _ = shared(AesGcmCodec([KmsKey("k1", "AAAA", arn)]))
    made = compile_app(hatchet, app_path="app:hatchet", dashboard=True)["Resources"]
    opens = {name for name, block in made.items() if arn in str(block)}
    assert opens == {
        "DefaultFunctionRole", "ClockFunctionRole", "DeadLettersFunctionRole", "DashboardActFunctionRole", "TriggerPolicy", "OperatePolicy"
    }  # fmt: skip
    loads = {name for name, block in made.items() if "HEADRACE_SEALED" in str(block)}
    assert "DashboardActFunction" in loads
    assert "DashboardLookFunction" not in loads


def test_a_page_shows_a_sentence_without_the_codec_and_plain_text_with_it() -> None:
    codec = AesGcmCodec([key("k1")])
    hatchet, task = shared(codec)
    with local(hatchet, backend="memory", background=False) as stack:
        ref = task.run(input={"what": SECRET, "fails": True}, wait_for_result=False)
        stack.drain()
        with on_ports_of(hatchet, codec) as (other, _):
            assert page_of(other, ref.workflow_run_id).count(SECRET) >= 3
        with on_ports_of(hatchet, None) as (other, _):
            shown = page_of(other, ref.workflow_run_id)
    assert SECRET not in shown
    assert "$sealed" not in shown
    assert shown.count("(sealed by a payload codec, ") >= 3


def page_of(hatchet: Headrace, run_id: str) -> str:
    from starlette.testclient import TestClient

    from headrace_dashboard.app import Dashboard
    from headrace_dashboard.function import ANYONE_WHO_MAY_CALL

    pages = Dashboard(hatchet=hatchet, access=ANYONE_WHO_MAY_CALL, may_act=False).app()
    return TestClient(pages).get(f"/runs/{run_id}").text


@pytest.mark.parametrize("name", ["log#task#00001#owner", "branch#task#00000"])
def test_a_compressed_part_of_a_durable_log_is_sealed_and_opened(name: str) -> None:
    codec = AesGcmCodec([key("k1")])
    entries = [Entry(node=n, kind=Kind.MEMO, asked="a", order=n + 1, result=SECRET) for n in range(20)]
    tail = Tail(parts=(Part(1, "o", 2),), entries=tuple(entries), branches=(Branch(1, 3), Branch(2, 7)))
    text = encode_entries(entries) if name.startswith("log#") else str(encode_tail(tail))
    rules, path = rules_for("run#r", name), ("body",)
    stored = apply(Sealing(codec, seals=True), rules, path, zipped(text))
    assert isinstance(stored, str | bytes)
    assert SECRET not in unzipped(stored)
    opened = apply(Sealing(codec, seals=False), rules, path, stored)
    assert isinstance(opened, str | bytes)
    assert unzipped(opened) == text
