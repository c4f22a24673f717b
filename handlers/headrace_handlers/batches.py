"""A batch of messages through Powertools' batch processing: what is not done is reported, and nothing else comes back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from headrace.engine.runs.ports import Disposition, Done, Later, Poison
from headrace_handlers import logs


class NotDone(Exception):
    """The message stays in its queue, and why."""


Deliver = Callable[[dict[str, Any]], Disposition]


def answer(event: dict[str, Any], context: Any, deliver: Deliver) -> dict[str, Any]:
    """Deliver each record; the partial batch response. Several records run at once."""
    records = event.get("Records", [])
    outcomes = _deliver_all(records, deliver)
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def settle(record: dict[str, Any]) -> None:
        outcome = outcomes[record["messageId"]]
        if isinstance(outcome, BaseException):
            logs.error(
                "delivery failed",
                error=f"{type(outcome).__name__}: {outcome}",
                message_id=record["messageId"],
            )
            raise NotDone(str(outcome)) from outcome
        match outcome:
            case Done():
                return
            case Poison(reason):
                logs.error(
                    "a message that cannot be processed", reason=reason, message_id=record["messageId"]
                )
                raise NotDone(reason)
            case Later(seconds, reason):
                logs.logger.info("left for later", extra={"reason": reason, "seconds": seconds})
                raise NotDone(reason)

    return dict(
        process_partial_response(event=event, record_handler=settle, processor=processor, context=context)
    )


def _deliver_all(records: list[dict[str, Any]], deliver: Deliver) -> dict[str, Disposition | BaseException]:
    """One record stays on this thread, the main one of a Lambda, where an alarm can end sync code."""
    if len(records) == 1:
        return {records[0]["messageId"]: _caught(deliver, records[0])}
    if not records:
        return {}
    with ThreadPoolExecutor(max_workers=len(records)) as pool:
        outcomes = pool.map(lambda record: _caught(deliver, record), records)
        return {record["messageId"]: outcome for record, outcome in zip(records, outcomes, strict=True)}


def _caught(deliver: Deliver, record: dict[str, Any]) -> Disposition | BaseException:
    try:
        return deliver(record)
    except Exception as error:  # noqa: BLE001  # one message's trouble is not the batch's
        return error
