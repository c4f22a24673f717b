"""A file that is put into a bucket starts a task.

    python examples/s3_upload.py

`event_patterns` of the worker is compiled to a rule of EventBridge whose target is the stack's queue of events; the bucket must send its events
to EventBridge (NotificationConfiguration: EventBridgeConfiguration). Key: `<source>:<detail-type>`; payload: the event's `detail`.
"""

from pydantic import BaseModel

from headrace import Context, Headrace

hatchet = Headrace()


class Bucket(BaseModel):
    name: str


class Object(BaseModel):
    key: str
    size: int


class Created(BaseModel):
    bucket: Bucket
    object: Object


@hatchet.task(on_events=["aws.s3:Object Created"])
def ingest(input: Created, ctx: Context) -> dict[str, str]:
    return {"ingested": f"s3://{input.bucket.name}/{input.object.key}, {input.object.size} bytes"}


hatchet.worker(
    "intake",
    workflows=[ingest],
    event_patterns=[
        {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": ["uploads"]}, "object": {"key": [{"suffix": ".csv"}]}},
        }
    ],
)

ENVELOPE = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2026-11-12T00:00:00Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:s3:::uploads"],
    "detail": {"bucket": {"name": "uploads"}, "object": {"key": "orders.csv", "size": 1024}},
}
"""As S3 sends it through EventBridge."""

if __name__ == "__main__":
    from headrace_infra.testing import local

    with local(hatchet, backend="memory", background=False) as stack:
        stack.send_aws_event(ENVELOPE)
        stack.send_aws_event(ENVELOPE)  # EventBridge delivers at least once
        stack.drain()
        for run in stack.runs():
            print(hatchet.runs.get_result(run.run_id)["ingest"]["ingested"])
