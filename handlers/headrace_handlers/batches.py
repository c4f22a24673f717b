"""A batch of messages: what is not done is reported, and nothing else comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.engine.attempts.ports import Disposition, Done, Later, Poison
from headrace_handlers import logs

Deliver = Callable[[dict[str, Any]], Disposition]


def answer(event: dict[str, Any], deliver: Deliver) -> dict[str, Any]:
    """Deliver each record; the partial batch response (Lambda developer guide, "Using Lambda with Amazon SQS").

    Several records run at once. What is not done is named in the answer and stays in its queue. ValueError where the event is not SQS's,
    such as the console's test event.
    """
    outcomes = _deliver_all(_records(event), deliver)
    failed = [message_id for message_id, outcome in outcomes.items() if not _settled(message_id, outcome)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _records(event: dict[str, Any]) -> list[dict[str, Any]]:
    found = event.get("Records")
    if isinstance(found, list) and all("messageId" in each and "receiptHandle" in each for each in found):
        return found
    source = found[0].get("eventSource", "another service") if found else None
    what = (
        f"records of {source}" if source else f"the keys {', '.join(sorted(event))}" if event else "no keys"
    )
    raise ValueError(
        f"this function takes messages of its SQS queue, and the event has {what}. "
        "To try a workflow, start a run: headrace trigger WORKFLOW --input '{}'"
    )


def _settled(message_id: str, outcome: Disposition | BaseException) -> bool:
    """Whether the message may be deleted; says in the log why not."""
    match outcome:
        case Done():
            return True
        case Poison(reason):
            logs.error("a message that cannot be processed", reason=reason, message_id=message_id)
        case Later(seconds, reason):
            logs.info("left for later", reason=reason, seconds=seconds)
        case BaseException():
            logs.error("delivery failed", error=f"{type(outcome).__name__}: {outcome}", message_id=message_id)
    return False


def _deliver_all(records: list[dict[str, Any]], deliver: Deliver) -> dict[str, Disposition | BaseException]:
    """One record stays on this thread, the main one of a Lambda, where an alarm can end sync code."""
    if len(records) == 1:
        return {records[0]["messageId"]: _caught(deliver, records[0])}
    if not records:
        return {}
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=len(records)) as pool:
        outcomes = pool.map(lambda record: _caught(deliver, record), records)
        return {record["messageId"]: outcome for record, outcome in zip(records, outcomes, strict=True)}


def _caught(deliver: Deliver, record: dict[str, Any]) -> Disposition | BaseException:
    try:
        return deliver(record)
    except Exception as error:  # noqa: BLE001  # one message's trouble is not the batch's
        return error
