"""Every key and index of the table, each once: one function and one line. The table in docs/architecture.md is made from these.

A partition is a string, an address is a `Key`. Short names, since DynamoDB bills names and values alike.
"""

from __future__ import annotations

import hashlib
import json

from headrace.core.changes import Item, Key

INDEXES = {"listing": ("lpk", "lsk"), "failed": ("fpk", "fsk")}
"""The table's two indexes, which hold keys only: index -> its partition and its sort attribute."""

RUN_SHARDS = 8
"""How many partitions the runs of a stack are spread over in an index: each takes 1,000 writes a second."""

GATE_SHARDS = 4
"""How many index partitions the gates that the clock looks at are spread over."""

LONGEST_KEY = 200
"""Characters of a user's key as it is in an address; a longer one ends in its hash."""

LONGEST_NAME = 512
"""Characters of a name made of several parts; a longer one is replaced by its hash."""


def key_of(item: Item) -> Key:
    """The address of any item, as a store gives it."""
    return Key(str(item["pk"]), str(item["sk"]))


# ---------------------------------------------------------------- a run


def run_partition(run_id: str) -> str:
    """Everything of a run."""
    return f"run#{run_id}"


def run_key(run_id: str) -> Key:
    """A run's record: what was asked for, and a row for each task that was claimed or settled."""
    return Key(run_partition(run_id), "run")


def run_id_of(partition: str) -> str:
    """The run whose partition it is."""
    return partition.removeprefix("run#")


def input_key(run_id: str, replay: str | None = None) -> Key:
    """A run's input, where it is too large for the record. `replay`: the one that gave it another."""
    return Key(run_partition(run_id), "in" if replay is None else f"in#{replay}")


def output_key(run_id: str, task: str, ticket: int, mark: str) -> Key:
    """An attempt's output, where it is too large for the record. By the attempt's mark: one that took over has the same ticket, and the one
    that lost its lease overwrites nothing."""
    return Key(run_partition(run_id), f"out#{task}#{ticket}#{mark}")


def attempt_key(run_id: str, task: str, ticket: int) -> Key:
    """The error of an attempt that was retried, where the record has no room for it."""
    return Key(run_partition(run_id), f"attempt#{task}#{ticket}")


def log_part_key(run_id: str, task: str, number: int, owner: str) -> Key:
    """A sealed part of a durable task's log. By attempt: one that lost its lease overwrites nothing."""
    return Key(run_partition(run_id), f"log#{task}#{number:05d}#{owner}")


def branch_log_key(run_id: str, task: str, branch: int) -> Key:
    """A branch of a durable task's log that a reset has left: what the row held of it."""
    return Key(run_partition(run_id), f"branch#{task}#{branch:05d}")


LINES = "line#"
"""What the sort keys of log lines begin with."""


def line_key(run_id: str, at_ms: int, owner: str, number: int) -> Key:
    """A log line of an attempt, in the order of time."""
    return Key(run_partition(run_id), f"{LINES}{at_ms:013d}#{owner}#{number:05d}")


CHUNKS = "stream#"
"""What the sort keys of stream chunks begin with."""


def chunk_key(run_id: str, at_ms: int, owner: str, number: int) -> Key:
    """A chunk of an attempt's stream, in the order of time."""
    return Key(run_partition(run_id), f"{CHUNKS}{at_ms:013d}#{owner}#{number:07d}")


def join_partition(run_id: str, task: str, first: int, leaf: int | None = None) -> str:
    """The children that a durable task waits for: a root, and leaves of 100 children each."""
    root = f"join#{run_id}#{task}#{first}"
    return root if leaf is None else f"{root}#{leaf}"


def join_key(partition: str) -> Key:
    """The root or a leaf of a join: the children that are not done."""
    return Key(partition, "join")


def idempotency_partition(workflow: str, key: str) -> str:
    """An idempotency key: fixed in length, whatever the key is."""
    return f"idem#{workflow}#{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def idempotency_key(partition: str) -> Key:
    """Which run an idempotency key has admitted, with that run's start messages."""
    return Key(partition, "key")


# ---------------------------------------------------------------- what tasks wait at

GATE, RATE, PAUSE, LABELS = "gate#", "rate#", "pause#", "labels#"
"""What the partitions of concurrency limits and slots, of rate limits, of paused workflows and of required labels begin with."""


def gate_key(gate: str, number: int = 0) -> Key:
    """The holders of permits of a limit, or the window of a rate limit. A wide limit is spread over several; the first has the mark."""
    return Key(gate if number == 0 else f"places#{number}#{gate}", "gate")


WAIT = "wait#"
"""What a waiter's sort key begins with."""

_LINE = "waiters#"


def line_partition(gate: str) -> str:
    """The line of a limit, a pause or a label: apart from its item, since each partition takes 1,000 write units a second."""
    return _LINE + gate


def gate_of_line(partition: str) -> str:
    """The limit, the pause or the label whose line it is."""
    return partition.removeprefix(_LINE)


def waiter_key(gate: str, place: str) -> Key:
    """A task that waits in the line of a limit, a pause or a label; its sort key is its place."""
    return Key(line_partition(gate), place)


PAUSED = Key("paused", "paused")
"""Which workflows are paused, and how: one item."""


def short_key(key: str) -> str:
    """A user's key that fits into an address, whatever its length: different keys stay different."""
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[: LONGEST_KEY // 2]}…{hashlib.sha256(key.encode()).hexdigest()[:32]}"


BATCH = "batch#"
"""What the partitions of the lines of batch tasks begin with."""


def batch_state_key(line: str) -> Key:
    """Which batch of a line is filling; and, where their number is limited, which run."""
    return Key(line, "batch")


def batch_pages(number: int | None = None) -> str:
    """What the sort keys of the pages of a batch begin with; None: of all batches of a line."""
    return "b#" if number is None else f"b#{number:09d}#"


def batch_page_key(line: str, number: int, page: int) -> Key:
    """A page of a batch: its members, until they have ended."""
    return Key(line, f"{batch_pages(number)}{page:04d}")


# ---------------------------------------------------------------- time

DEPLOYED = Key("deployed", "stack")
"""Which version of Headrace the stack's own functions run."""

CURSOR = Key("clock", "cursor")
"""The first minute whose timers the clock has not sent."""


TIMERS = "timer#"
"""What the partitions of timers begin with."""


def timer_partition(minute: int, shard: int) -> str:
    """What is due within a minute, later than SQS can delay."""
    return f"{TIMERS}{minute}#{shard}"


def timer_minute(partition: str) -> int:
    """The minute of a partition of timers."""
    return int(partition.removeprefix(TIMERS).partition("#")[0])


def timer_key(due_at_ms: int, shard: int, name: str) -> Key:
    """A timer: a message that the clock sends when it is due, or a pointer to a cron or a scheduled run."""
    return Key(timer_partition(due_at_ms // 60_000, shard), f"{due_at_ms:013d}#{name}")


CRONS, SCHEDULED, DEBOUNCED = "crons", "scheduled", "debounced"
"""The partitions of a stack's crons, of its scheduled runs, and of its debounced ones."""


def cron_key(cron_id: str) -> Key:
    """A cron: what it starts, and its next tick that was not sent."""
    return Key(CRONS, cron_id)


def scheduled_key(schedule_id: str) -> Key:
    """A scheduled run: what it starts and when; kept after it has started, as long as its run."""
    return Key(SCHEDULED, schedule_id)


def debounce_id(workflow: str, key: str) -> str:
    """What names a debounced run: fixed in length, whatever the key is."""
    return f"{workflow}#{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def debounced_key(debounce_id: str) -> Key:
    """A run that starts once calls with its key have stopped."""
    return Key(DEBOUNCED, debounce_id)


# ---------------------------------------------------------------- what is published


def plan_key(hash: str) -> Key:
    """A plan of a workflow's version, named by its hash in the records of its runs."""
    return Key(f"plan#{hash}", "plan")


CATALOG = "catalog"
"""The partition of the workflows that a stack has published."""


def workflow_key(workflow: str) -> Key:
    """A workflow as its worker published it: its plan, and all that starting a run of it needs."""
    return Key(CATALOG, workflow)


WORKERS = "workers"
"""The partition of the workers that a stack declares and of the processes that are alive."""

RATE_LIMITS = "ratelimits"
"""The partition of the keys of static rate limits: a list of them."""


def worker_key(worker: str) -> Key:
    """A worker as the code declares it: labels, and the workflows that it registers."""
    return Key(WORKERS, worker)


def process_key(worker: str, process: str) -> Key:
    """A process that is alive, its labels and its lease."""
    return Key(WORKERS, f"{worker}#{process}")


def static_limit_key(key: str) -> Key:
    """A static rate limit in the list; its numbers are in the limit's own item."""
    return Key(RATE_LIMITS, short_key(key))


DEAD_LETTERS = "deadletters"
"""The partition of what ended, or was dropped, for what became of its workers or its message."""


def dead_letter_key(at_ms: int, name: str) -> Key:
    """A task that was given up, or a message that nothing could be made of; in the order of time."""
    return Key(DEAD_LETTERS, f"{at_ms:013d}#{name}")


BULK = "bulk"
"""The partition of the operations on many runs that were asked for."""


def bulk_key(id: str) -> Key:
    """An operation on many runs: which, and how far it has come."""
    return Key(BULK, id)


def bulk_ids_key(id: str, page: int) -> Key:
    """The ids of a page of it, where ids were given."""
    return Key(f"bulk#{id}", f"{page:06d}")


# ---------------------------------------------------------------- waiting for results

REPLY_QUEUES = "replyqueues"
"""The partition of the reply queues that processes have made."""


def reply_queue_key(queue: str) -> Key:
    """A reply queue, and until when its process keeps it."""
    return Key(REPLY_QUEUES, queue)


# ---------------------------------------------------------------- events

EVENT_SHARDS = 8
"""How many partitions the events of a day are spread over."""

DAY_MS = 86_400_000

LAST_MS = 9_999_999_999_999
"""In the year 2286: no event is later."""


def newest_first(at_ms: int) -> str:
    """A time such that later ones sort before earlier ones: the beginning of an event's sort key."""
    return f"{LAST_MS - at_ms:013d}"


def events_partition(day: int, shard: int) -> str:
    """The events that were pushed on a day since the epoch."""
    return f"events#{day}#{shard}"


def event_key(at_ms: int, event_id: str) -> Key:
    """An event, and which runs it starts. `at_ms` is the time in its id, so the id is enough to find it."""
    shard = sum(event_id.encode()) % EVENT_SHARDS
    return Key(events_partition(at_ms // DAY_MS, shard), f"{newest_first(at_ms)}#{event_id}")


def scope_partition(event_key: str, scope: str) -> str:
    """The events of one key and scope, for waits that look back."""
    return f"scoped#{_name([event_key, scope])}"


def scoped_event_key(event_key: str, scope: str, at_ms: int, event_id: str) -> Key:
    """That there is such an event; in the order of time."""
    return Key(scope_partition(event_key, scope), f"{at_ms:013d}#{event_id}")


def subscription_partition(event_key: str, scope: str | None, *pair: object) -> str:
    """The subscriptions to events of a key: of any scope or of one, and, with a pair, those of a field with a value."""
    return f"sub#{_name([event_key, scope, *pair])}"


def subscription_key(partition: str, run_id: str, task: str, node: int, leaf: int) -> Key:
    """One leaf of what a task waits for: its expression and, once, the event that satisfied it."""
    return Key(partition, f"{run_id}#{task}#{node}.{leaf}")


def shapes_key(event_key: str) -> Key:
    """Which fields the subscriptions to a key are found by."""
    return Key(f"subs#{event_key}", "shapes")


FILTERS = "filters"
"""The partition of the filters that were created."""

WEBHOOKS = "webhooks"
"""The partition of the webhooks."""


def filter_key(workflow: str, identity: str) -> Key:
    """A filter of events, by what it says: two that say the same are one."""
    return Key(FILTERS, f"{workflow}#{hashlib.sha256(identity.encode()).hexdigest()[:32]}")


def webhook_key(name: str) -> Key:
    """A webhook: what becomes of its requests, and where its secret is."""
    return Key(WEBHOOKS, name)


def _name(parts: list[object]) -> str:
    """Parts as one name that no other parts have, of a length that fits."""
    name = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return name if len(name) <= LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest()


# ---------------------------------------------------------------- indexes


def run_shard(run_id: str) -> int:
    """The shard of a run in an index."""
    return sum(run_id.encode()) % RUN_SHARDS


def runs_listed(shard: int) -> str:
    """In `listing`, and of failed runs in `failed`: the runs of a shard, in the order of creation."""
    return f"runs#{shard}"


def gates_listed(shard: int) -> str:
    """In `listing`: the gates where tasks wait, for the clock."""
    return f"gates#{shard}"


def gate_shard(gate: str) -> int:
    """The shard of a gate in the index."""
    return sum(gate.encode()) % GATE_SHARDS
