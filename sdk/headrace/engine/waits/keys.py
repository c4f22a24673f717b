"""The keys of gates and rate limits, evaluated once, when a run is asked for: its input is at hand then, and its record carries them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from headrace.core.points import WORKER_GATE
from headrace.core.run.owed import (
    worker_of,
)
from headrace.core.run.plans.plan import GatePlan, Json, RatePlan, RunPlan
from headrace.core.run.record import RunRecord
from headrace.core.run.routing import Key, NotEvaluated, RateUnits, Units
from headrace.core.texts import storable
from headrace.core.waits.passes import literal_key
from headrace.core.waits.rate_limit import is_fixed
from headrace.engine.engine import Engine
from headrace.errors import ExpressionError


def evaluated(
    engine: Engine, plan: RunPlan, text: str | None, metadata: Mapping[str, Json]
) -> tuple[tuple[Key, ...], tuple[Units, ...]]:
    """The keys and the units of rate limits that a record's routing carries. What cannot be evaluated is stored as why."""
    gates = (*plan.gates, *(gate for task in plan.tasks for gate in task.gates))
    keyed = [gate for gate in gates if literal_key(gate.expression) is None]
    rates = [rate for task in plan.tasks for rate in task.rates if not is_fixed(rate)]
    if not keyed and not rates:
        return (), ()
    variables: dict[str, Json] = {
        "input": json.loads(text) if text else {},
        "additional_metadata": dict(metadata),
    }
    keys = tuple(_gate_key(engine, gate, variables) for gate in keyed)
    return keys, tuple(_rate(engine, rate, variables) for rate in rates)


def batch_keys(
    engine: Engine, plan: RunPlan, text: str | None, metadata: Mapping[str, Json]
) -> dict[str, Key]:
    """The group keys of a plan's batch tasks. What cannot be evaluated is stored as why: that task fails, and no other member."""
    keyed = {task.name: task.batch.key for task in plan.tasks if task.batch is not None and task.batch.key}
    if not keyed:
        return {}
    variables: dict[str, Json] = {
        "input": json.loads(text) if text else {},
        "additional_metadata": dict(metadata),
    }

    def key(expression: str) -> Key:
        try:
            return _text(engine, expression, variables, "the batch group key")
        except ExpressionError as error:
            return NotEvaluated(f"failed to parse batch group key expression: {error}")

    return {task: key(expression) for task, expression in keyed.items()}


def _gate_key(engine: Engine, gate: GatePlan, variables: Mapping[str, Json]) -> Key:
    try:
        return _text(engine, gate.expression, variables, "the concurrency key")
    except ExpressionError as error:
        return NotEvaluated(str(error))


def _rate(engine: Engine, rate: RatePlan, variables: Mapping[str, Json]) -> Units:
    try:
        key = _text(engine, rate.key, variables, "the key of the rate limit") if rate.dynamic else rate.key
        units = _number(engine, rate.units, variables, f"the units of rate limit {key!r}")
        limit = (
            None
            if rate.limit is None
            else _number(engine, rate.limit, variables, f"the limit of rate limit {key!r}")
        )
        return RateUnits(key=key, units=units, limit=limit)
    except ExpressionError as error:
        return NotEvaluated(str(error))


def _text(engine: Engine, expression: str, variables: Mapping[str, Json], what: str) -> str:
    literal = literal_key(expression)
    if literal is not None:
        return literal
    value = _evaluated(engine, expression, variables, what)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return storable(str(value))
    raise ExpressionError(
        f"{what}, {expression!r}, gives {_named(value)}: it has to give a string or a number"
    )


def _evaluated(engine: Engine, expression: str, variables: Mapping[str, Json], what: str) -> Json:
    try:
        return engine.expressions.evaluate(expression, variables)
    except ExpressionError as error:
        raise ExpressionError(f"{what}: {error}") from error


def _number(engine: Engine, expression: str, variables: Mapping[str, Json], what: str) -> int:
    value = int(expression) if expression.isdigit() else _evaluated(engine, expression, variables, what)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ExpressionError(
            f"{what}, {expression!r}, gives {value!r}: it has to give a whole number, at least 1"
        )
    return value


def _named(value: Json) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def has_gates(engine: Engine, record: RunRecord, task: str) -> bool:
    """Whether anything has to be passed before `task` runs, or given back after it."""
    plan = record.plan.by_name.get(task)
    if plan is None:
        return False
    if plan.gates or plan.rates or record.plan.gates:
        return True
    return WORKER_GATE + worker_of(record, task) in engine.gate_limits()


def group_for(record: RunRecord, task: str) -> str | None:
    """The fair-queue group of a task's messages; None where none of its keys comes from an expression."""
    if not record.plan.gates and not record.plan.task(task).gates:
        return None
    from headrace.core.waits.passes import group_of

    return group_of(record, task)
