"""A webhook of GitHub starts a task: the author of a new issue is answered.

    python examples/github_webhook.py

A worker with `webhooks=True` gives the stack a function at a public URL: the stack's output WebhooksUrl is where GitHub is told to send to. What is not signed with the
secret is answered 403 and starts nothing.
"""

import hashlib
import hmac
import json

from pydantic import BaseModel

from headrace import Context, Headrace, V1WebhookHMACAuth, V1WebhookSourceName

hatchet = Headrace()


class Issue(BaseModel):
    number: int
    title: str


class IssueEvent(BaseModel):
    action: str
    issue: Issue


@hatchet.task(on_events=["github:issues:opened"])
def triage(input: IssueEvent, ctx: Context) -> dict[str, str]:
    return {"comment": f"Thank you for #{input.issue.number}, {input.issue.title!r}"}


hatchet.worker("triage", workflows=[triage], webhooks=True)


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The headers that GitHub sends with a body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-GitHub-Event": "issues", "X-Hub-Signature-256": f"sha256={digest}"}


if __name__ == "__main__":
    from headrace_infra.testing import local

    with local(hatchet, backend="memory", background=False) as stack:
        hatchet.webhooks.create(
            source_name=V1WebhookSourceName.GITHUB,
            name="repository",
            event_key_expression="'github:' + headers['x-github-event'] + ':' + input.action",
            auth=V1WebhookHMACAuth(signing_secret="a secret that GitHub was told"),
        )
        issue = {"number": 7, "title": "It works on my machine"}
        body = json.dumps({"action": "opened", "issue": issue}).encode()
        status, _ = stack.post_webhook("repository", body, signed(body, "a guess"))
        print(f"forged: {status}")
        status, answer = stack.post_webhook("repository", body, signed(body, "a secret that GitHub was told"))
        print(f"signed: {status}, event {answer['event']['key']}")
        stack.drain()
        [run] = hatchet.event.get(answer["event"]["eventId"]).triggered_runs
        print(hatchet.runs.get_result(run.workflow_run_id)["triage"]["comment"])
