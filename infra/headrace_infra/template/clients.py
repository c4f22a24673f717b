"""Managed policies for people and programs outside of the stack: one to trigger, one to read, one to operate; one for each worker that
runs as processes."""

from __future__ import annotations

from headrace_infra.template.intrinsics import Block, ref
from headrace_infra.template.policies import operate_policy, process_policy, read_policy, trigger_policy
from headrace_infra.template.unit import Unit

POLICIES = {
    "TriggerPolicy": "May start runs, push events and read results",
    "ReadPolicy": "May read runs, payloads, logs of runs and gates, and change nothing",
    "OperatePolicy": "May start, cancel, replay and pause runs, and manage crons, filters, limits and webhooks",
}
"""Name in the template and in its outputs -> what it is for."""


def client_policies(units: list[Unit], *, events: bool = False) -> Block:
    """Attach them to the roles of your own services and people: nothing in the stack uses them."""
    documents = {
        "TriggerPolicy": trigger_policy(units, events=events),
        "ReadPolicy": read_policy(),
        "OperatePolicy": operate_policy(units, events=events),
    }
    out = {name: _managed(POLICIES[name], document) for name, document in documents.items()}
    for unit in units:
        if unit.process:
            description = f"What the processes of worker {unit.name} do"
            out[process_policy_of(unit)] = _managed(description, process_policy(unit, units, events=events))
    return out


def process_policy_of(unit: Unit) -> str:
    """The logical id of the policy for a worker's processes."""
    return f"{unit.id}ProcessPolicy"


def client_outputs(units: list[Unit]) -> Block:
    out = {name: {"Description": text, "Value": ref(name)} for name, text in POLICIES.items()}
    for unit in units:
        if unit.process:
            name = process_policy_of(unit)
            out[name] = {"Description": f"Policy for the processes of worker {unit.name}", "Value": ref(name)}
    return out


def _managed(description: str, document: Block) -> Block:
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"Description": description, "PolicyDocument": document},
    }
