"""Whether a workflow takes an input, asked before anything is written: by the model where its code is at hand, else by its published schema.

For what a person gives, on the command line and in the dashboard. A program's calls are not checked twice: their model is at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from headrace.clients.naming import App, namespaced
from headrace.engine.catalog.workflows import all_published, published
from headrace.values.codec import Codec, is_validation_error
from headrace.values.schema import example
from headrace.values.schema_types import type_of

if TYPE_CHECKING:
    from headrace.core.events.match import Decided

SHOWN = 3
"""How many faults of an input an error names."""

LONGEST_VALUE = 60


def check_input(app: App, workflow: str, given: Mapping[str, Any], how: str = "--input") -> None:
    """ValueError, which names the workflow, each field with its value, and an input that would do, where the workflow's model refuses it.

    `how`: the option that the input was given by, for the error; empty where there was none, as in a form. Does nothing for a workflow
    that is not known: starting it says so. A validator that raises anything but pydantic's own errors is left to the task.
    """
    name = namespaced(app, workflow)
    faults = _faults(app, name, given)
    if faults:
        raise ValueError(
            f"workflow {name} does not take this input: {faults}. Nothing was started.{_fix(app, name, how)}"
        )


def faults_of(codecs: Iterable[Codec], text: str) -> str:
    """What the first of the types refuses of an input's JSON text, in pydantic's words; empty where they take it, or where it cannot
    be told from here, as a validator raised something else."""
    for codec in codecs:
        try:
            codec.parse(text)
        except Exception as error:  # noqa: BLE001  # a validator is user code
            if is_validation_error(error):
                return _listed(error)
    return ""


def check_payload(
    app: App, key: str, payload: Mapping[str, Any], scope: str | None, metadata: Mapping[str, Any]
) -> None:
    """As `check_input`, for each workflow that an event of this key, scope and payload starts."""
    for trigger in _decided(app, namespaced(app, key), payload, scope, metadata).triggers:
        faults = _faults(app, trigger.workflow, payload)
        if faults:
            raise ValueError(
                f"workflow {trigger.workflow}, which event {key} starts, does not take this payload: {faults}. "
                f"Nothing was pushed.{_fix(app, trigger.workflow, '--payload')} To push it all the same, add --unchecked"
            )


def _decided(
    app: App, key: str, payload: Mapping[str, Any], scope: str | None, metadata: Mapping[str, Any]
) -> Decided:
    from headrace.core.events.event import Event
    from headrace.core.events.match import decide
    from headrace.engine.events.filters import by_workflow

    engine = app.engine
    event = Event(
        event_id="",
        key=key,
        pushed_at_ms=0,
        payload=json.dumps(payload),
        scope=scope,
        metadata=dict(metadata),
    )
    patterns = [(name, each.on_events) for name, each in sorted(all_published(engine).items())]
    return decide(event, patterns, by_workflow(engine), engine.expressions.evaluate)


def _faults(app: App, name: str, given: Mapping[str, Any]) -> str:
    return faults_of(_codecs(app, name), json.dumps(given))


def _codecs(app: App, name: str) -> list[Codec]:
    mine = app._workflows_by_name.get(name)
    if mine is not None:
        return [task.input_codec for task in getattr(mine, "tasks", ())]
    schema = _schema(app, name)
    return [Codec(type_of(schema))] if schema else []


def _schema(app: App, name: str) -> dict[str, Any] | None:
    mine = app._workflows_by_name.get(name)
    if mine is not None:
        text = mine.input_schema()
    else:
        known = published(app.engine, name)
        text = known.input_schema if known is not None else None
    return json.loads(text) if text else None


def _listed(error: Any) -> str:
    found = error.errors(include_url=False, include_context=False)
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(_fault(each) for each in found[:SHOWN]) + more


def _fault(each: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in each["loc"]) or "the whole"
    if each["type"] == "missing":
        return f"{where}: {each['msg']}"
    value = json.dumps(each["input"], ensure_ascii=False, default=str)
    shown = value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 3]}..."
    return f"{where}: {each['msg']} (it is {shown})"


def _fix(app: App, name: str, how: str) -> str:
    schema = _schema(app, name)
    if not how or not schema:
        return ""
    try:
        made = example(schema, schema.get("$defs", {}))
    except (ValueError, KeyError, TypeError):
        return f" Give it by {how}"
    quoted = json.dumps(made, ensure_ascii=False).replace("'", "'\\''")
    return f" Give one such as {how} '{quoted}'"
