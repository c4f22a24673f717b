"""Onboarding by events: a new user is welcomed; one on a paid plan is also given a person to talk to.

    python examples/onboarding.py

`on_events` names the events that start a task, `*` inside a key stands for anything. A filter lets in only the events of its scope for
which its expression is true, and hands its payload to the run.
"""

from pydantic import BaseModel

from headrace import Context, DefaultFilter, Headrace

hatchet = Headrace()


class User(BaseModel):
    name: str
    plan: str = "free"


@hatchet.task(on_events=["user:created"])
def welcome(input: User, ctx: Context) -> dict[str, str]:
    return {"mail": f"Welcome, {input.name}!"}


@hatchet.task(
    on_events=["user:*"],
    default_filters=[
        DefaultFilter(expression="input.plan == 'pro'", scope="eu", payload={"person": "Grace"}),
        DefaultFilter(expression="input.plan == 'team'", scope="eu", payload={"person": "Alan"}),
    ],
)
def assign_person(input: User, ctx: Context) -> dict[str, str]:
    return {"person": f"{ctx.filter_payload['person']} looks after {input.name}"}


if __name__ == "__main__":
    from headrace_infra.testing import local

    with local(hatchet, backend="memory", background=False) as stack:
        ids = [
            stack.push_event("user:created", {"name": "Ada", "plan": "free"}, scope="eu"),
            stack.push_event("user:created", {"name": "Edsger", "plan": "pro"}, scope="eu"),
            stack.push_event("user:upgraded", {"name": "Barbara", "plan": "team"}, scope="eu"),
            stack.push_event("user:upgraded", {"name": "Ken", "plan": "team"}, scope="us"),
        ]
        stack.drain()
        for event_id in ids:
            event = hatchet.event.get(event_id)
            results = [hatchet.runs.get_result(run.workflow_run_id) for run in event.triggered_runs]
            said = sorted(
                text for result in results for output in result.values() for text in output.values()
            )
            print(f"{event.key} of {(event.payload or {})['name']}: {', '.join(said) or 'nothing'}")
