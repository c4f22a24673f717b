"""What each function may do: the calls that the adapters make, on the stack's own resources."""

from __future__ import annotations

from headrace_infra.template.bucket import BUCKET
from headrace_infra.template.intrinsics import Block, att, ref, sub, when
from headrace_infra.template.queues import DEAD_LETTERS
from headrace_infra.template.tables import TABLE
from headrace_infra.template.unit import EVENTS, Unit


def worker_policies(unit: Unit, units: list[Unit], *, events: bool = False) -> list[object]:
    """Its own queue, the table and its indexes, payloads; and sending to every worker, since tasks start each other and push events."""
    return [
        _policy(_items(), _indexes(), *_payloads(), _sends(units, events=events), _receives(unit.queue)),
        *unit.options.policies,
    ]


def dead_letters_policies(units: list[Unit], *, events: bool = False) -> list[object]:
    """It writes how a task ended, and pays what is then owed: other tasks' messages. It handles events that could not be before."""
    return [_policy(_items(), *_payloads(), _sends(units, events=events), _receives(DEAD_LETTERS))]


def events_policies(units: list[Unit]) -> list[object]:
    """It stores events, reads subscriptions, starts runs, and goes on with an event in another message."""
    return [_policy(_items(), *_payloads(), _sends(units, events=True), _receives(EVENTS))]


def webhooks_policies() -> list[object]:
    """It reads a webhook and its secret, and sends the event. Secrets that Headrace does not keep are named at deployment."""
    own = sub(
        "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/${AWS::StackName}/webhooks/*"
    )
    others = {
        "Sid": "OtherSecrets",
        "Effect": "Allow",
        "Action": ["secretsmanager:GetSecretValue", "ssm:GetParameter"],
        "Resource": ref("WebhookSecretArns"),
    }
    return [
        _policy(
            _allow("Webhooks", ["dynamodb:GetItem"], att(TABLE, "Arn")),
            _allow("Payloads", ["s3:PutObject"], sub(f"${{{BUCKET}.Arn}}/events/*")),
            _allow("Sends", ["sqs:SendMessage", "sqs:GetQueueUrl"], att(EVENTS, "Arn")),
            _allow("Secrets", ["ssm:GetParameter"], own),
            when("HasWebhookSecrets", others),
        )
    ]


def dashboard_policies(units: list[Unit], *, may_act: bool, events: bool = False) -> list[object]:
    """It reads runs, payloads and what CloudWatch counted. One that acts starts, cancels and pauses runs too, which pays what is then owed."""
    cost = _allow("Cost", ["cloudwatch:GetMetricData"], "*")
    if may_act:
        return [_policy(_items(), _indexes(), *_payloads(), _sends(units, events=events), cost)]
    verbs = ["GetItem", "BatchGetItem", "Query"]
    return [
        _policy(
            _allow("Items", [f"dynamodb:{verb}" for verb in verbs], att(TABLE, "Arn")),
            _indexes(),
            _allow("Payloads", ["s3:GetObject"], sub(f"${{{BUCKET}.Arn}}/*")),
            _allow("PayloadsThatAreGone", ["s3:ListBucket"], att(BUCKET, "Arn")),
            cost,
        )
    ]


def clock_policies(units: list[Unit]) -> list[object]:
    """It reads timers and the gates that somebody waits at, which an index holds; cancels, wakes and sends."""
    return [_policy(_items(), _indexes("listing"), _sends(units))]


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
    verbs = ("GetItem", "BatchGetItem", "Query", "PutItem", "PartiQLInsert", "UpdateItem", "DeleteItem")
    return _allow("Items", [f"dynamodb:{verb}" for verb in verbs], att(TABLE, "Arn"))


def _indexes(name: str = "*") -> Block:
    """Listing: of runs, for tasks that look at other runs; of gates, for the clock."""
    return _allow("Indexes", ["dynamodb:Query"], sub(f"${{{TABLE}.Arn}}/index/{name}"))


def _payloads() -> list[Block]:
    """ListBucket makes S3 say of a payload that has expired that it is not there, rather than that access is denied."""
    return [
        _allow("Payloads", ["s3:GetObject", "s3:PutObject"], sub(f"${{{BUCKET}.Arn}}/*")),
        _allow("PayloadsThatAreGone", ["s3:ListBucket"], att(BUCKET, "Arn")),
    ]


def _sends(units: list[Unit], *, events: bool = False) -> Block:
    queues = [unit.queue for unit in units] + ([EVENTS] if events else [])
    return _allow("Sends", ["sqs:SendMessage", "sqs:GetQueueUrl"], *(att(queue, "Arn") for queue in queues))


def _receives(queue: str) -> Block:
    """What the event source mapping does in the function's name, and hiding a message while its attempt lives."""
    verbs = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
    return _allow("Receives", [f"sqs:{verb}" for verb in verbs], att(queue, "Arn"))
