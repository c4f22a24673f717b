"""What each role may do: the calls that its code makes, on the stack's own resources."""

from __future__ import annotations

from headrace.core.table import CATALOG, WEBHOOKS
from headrace_infra.template.bucket import BUCKET
from headrace_infra.template.intrinsics import Block, att, ref, sub, when
from headrace_infra.template.queues import DEAD_LETTERS
from headrace_infra.template.tables import TABLE
from headrace_infra.template.unit import EVENTS, Unit

READS = ("GetItem", "BatchGetItem", "Query")
WRITES = ("PutItem", "PartiQLInsert", "UpdateItem", "DeleteItem")

REPLY_QUEUES = sub("arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${AWS::StackName}-reply-*")
"""The queues that processes make to be told of ends of runs (`headrace.core.run.replies`)."""


def worker_policy(unit: Unit, units: list[Unit], *, events: bool = False) -> Block:
    """Its own queue, the table and its indexes, payloads of runs; and sending to the workers that its tasks can reach."""
    return _policy(
        _items(),
        _published_by_others(),
        _indexes(),
        *_payloads("run#*", *(["events/*"] if events else [])),
        *_sends([each for each in units if each.name in unit.sends], events=events),
        _receives(*unit.queues),
        _key(),
    )


def dead_letters_policy(units: list[Unit], *, events: bool = False) -> Block:
    """It writes how a task ended, and pays what is then owed: other tasks' messages. It handles events that could not be before."""
    return _policy(
        _items(),
        _published_by_others(),
        *_payloads("run#*", *(["events/*"] if events else [])),
        *_sends(units, events=events),
        _receives(DEAD_LETTERS),
        _key(),
    )


def events_policy(units: list[Unit]) -> Block:
    """It stores events, reads subscriptions, starts runs, and goes on with an event in another message."""
    return _policy(
        _items(),
        _published_by_others(),
        *_payloads("run#*", "events/*"),
        *_sends(units, events=True),
        _receives(EVENTS),
        _key(),
    )


def webhooks_policy() -> Block:
    """It reads a webhook and its secret, and sends the event. Secrets that Headrace does not keep are named at deployment."""
    others = {
        "Sid": "OtherSecrets",
        "Effect": "Allow",
        "Action": ["secretsmanager:GetSecretValue", "ssm:GetParameter"],
        "Resource": ref("WebhookSecretArns"),
    }
    return _policy(
        _allow("Webhooks", ["dynamodb:GetItem"], att(TABLE, "Arn")),
        _allow("Payloads", ["s3:PutObject"], sub(f"${{{BUCKET}.Arn}}/events/*")),
        _allow("Sends", ["sqs:SendMessage", "sqs:GetQueueUrl"], att(EVENTS, "Arn")),
        _allow("Secrets", ["ssm:GetParameter"], secrets_of_webhooks()),
        when("HasWebhookSecrets", others),
        _key(),
    )


def secrets_of_webhooks() -> Block:
    """The parameters in which Headrace keeps the secrets of a stack's webhooks."""
    return sub(
        "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/${AWS::StackName}/webhooks/*"
    )


def dashboard_policy(units: list[Unit], *, may_act: bool, events: bool = False) -> Block:
    """It reads runs, payloads and what CloudWatch counted. One that acts starts, cancels and pauses runs too, which pays what is then owed."""
    cost = _allow("Cost", ["cloudwatch:GetMetricData"], "*")
    if may_act:
        return _policy(_items(), _indexes(), *_payloads("*"), *_sends(units, events=events), cost, _key())
    return _policy(*_reads(), cost, _key(reads_only=True))


def clock_policy(units: list[Unit]) -> Block:
    """It reads timers and the limits that tasks wait at, which an index holds; cancels, wakes, sends, and publishes. It removes the
    reply queues of processes that have ended."""
    sweeps = _allow("ReplyQueues", ["sqs:DeleteQueue", "sqs:GetQueueUrl"], REPLY_QUEUES)
    return _policy(_items(), _indexes("listing"), *_sends(units), sweeps, _key())


# ---------------------------------------------------------------- clients


def trigger_policy(units: list[Unit], *, events: bool = False) -> Block:
    """Starts runs, pushes events, and waits for results: no listing, no receiving."""
    return _policy(
        _items(),
        _published_by_others(),
        *_payloads("run#*", "events/*"),
        *_sends(units, events=events),
        _waits(),
        _key(),
    )


def read_policy() -> Block:
    """Looks at runs, their payloads, gates and workflows."""
    return _policy(*_reads(), _key(reads_only=True))


def operate_policy(units: list[Unit], *, events: bool = False) -> Block:
    """Whatever the command line and the clients do: replays, cancels, pauses; crons, filters, webhooks and their secrets; `headrace doctor`."""
    verbs = ("PutParameter", "GetParameter", "DeleteParameters")
    return _policy(
        _items(),
        _indexes(),
        *_payloads("*"),
        *_sends(units, events=events),
        _waits(),
        _allow("Depth", ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"], *_every_queue(units, events=events)),
        *([_allow("Secrets", [f"ssm:{verb}" for verb in verbs], secrets_of_webhooks())] if events else []),
        _allow("Cost", ["cloudwatch:GetMetricData"], "*"),
        _key(),
    )


def process_policy(unit: Unit, units: list[Unit], *, events: bool = False) -> Block:
    """For the credentials of a worker that runs as processes: as a function's, and it announces its labels."""
    return worker_policy(unit, units, events=events)


# ---------------------------------------------------------------- statements


def _policy(*statements: Block) -> Block:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(sid: str, actions: list[str], *resources: Block | str) -> Block:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": actions,
        "Resource": list(resources) if len(resources) > 1 else resources[0],
    }


def _items() -> Block:
    return _allow("Items", [f"dynamodb:{verb}" for verb in (*READS, *WRITES)], att(TABLE, "Arn"))


def _published_by_others() -> Block:
    """What is deployed, and where webhooks lead, is for the clock and for people to write: a role that may write it can redirect every run."""
    return {
        "Sid": "PublishedByOthers",
        "Effect": "Deny",
        "Action": [f"dynamodb:{verb}" for verb in WRITES],
        "Resource": att(TABLE, "Arn"),
        "Condition": {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": [CATALOG, WEBHOOKS]}},
    }


def _indexes(name: str = "*") -> Block:
    """Listing: of runs, for tasks that look at other runs; of gates, for the clock."""
    return _allow("Indexes", ["dynamodb:Query"], sub(f"${{{TABLE}.Arn}}/index/{name}"))


def _payloads(*prefixes: str) -> list[Block]:
    """ListBucket makes S3 say of a payload that has expired that it is not there, rather than that access is denied."""
    names = [sub(f"${{{BUCKET}.Arn}}/{prefix}") for prefix in prefixes]
    return [_allow("Payloads", ["s3:GetObject", "s3:PutObject"], *names), _gone()]


def _gone() -> Block:
    return _allow("PayloadsThatAreGone", ["s3:ListBucket"], att(BUCKET, "Arn"))


def _reads() -> list[Block]:
    return [
        _allow("Items", [f"dynamodb:{verb}" for verb in READS], att(TABLE, "Arn")),
        _indexes(),
        _allow("Payloads", ["s3:GetObject"], sub(f"${{{BUCKET}.Arn}}/*")),
        _gone(),
    ]


def _sends(units: list[Unit], *, events: bool = False) -> list[Block]:
    """To workers, and to the reply queues of processes that wait for results: whatever ends a run tells them."""
    queues = _queues(units) + ([EVENTS] if events else [])
    return [
        _allow("Sends", ["sqs:SendMessage", "sqs:GetQueueUrl"], *(att(queue, "Arn") for queue in queues)),
        _allow("Replies", ["sqs:SendMessage"], REPLY_QUEUES),
    ]


def _queues(units: list[Unit]) -> list[str]:
    """A client that may send to a worker may go on with its runs: both of its queues, where it has two."""
    return [queue for unit in units for queue in unit.queues]


def _waits() -> Block:
    """A process that waits for results makes a reply queue, receives from it and removes it: no queue of another name."""
    verbs = ("CreateQueue", "DeleteQueue", "GetQueueUrl", "ReceiveMessage")
    return _allow("ReplyQueues", [f"sqs:{verb}" for verb in verbs], REPLY_QUEUES)


def _receives(*queues: str) -> Block:
    """What the event source mapping does in the function's name, and hiding a message while its attempt lives."""
    verbs = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
    return _allow("Receives", [f"sqs:{verb}" for verb in verbs], *(att(queue, "Arn") for queue in queues))


def _every_queue(units: list[Unit], *, events: bool) -> list[Block]:
    queues = _queues(units) + [DEAD_LETTERS] + ([EVENTS] if events else [])
    return [att(queue, "Arn") for queue in queues]


def _key(*, reads_only: bool = False) -> Block:
    """With a key of your own (parameter KmsKeyArn): only through the services that hold the stack's data, never by itself."""
    via = [sub(f"{service}.${{AWS::Region}}.amazonaws.com") for service in ("dynamodb", "sqs", "s3")]
    verbs = ["Decrypt", "DescribeKey"] + ([] if reads_only else ["Encrypt", "GenerateDataKey"])
    statement = {
        **_allow("OwnKey", [f"kms:{verb}" for verb in verbs], ref("KmsKeyArn")),
        "Condition": {"StringEquals": {"kms:ViaService": via}},
    }
    return when("HasKmsKey", statement)
