"""Idempotency of runs: a second trigger with the same key raises IdempotencyCollisionError."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from headrace.core.run.idempotency import IdempotencyKey, IdempotencyRule
from headrace.core.values import dataclass
from headrace.errors import DefinitionError, ExpressionError
from headrace.values.expressions import check

if TYPE_CHECKING:
    from headrace.core.run.plans.plan import Json
    from headrace.ports import Expressions


@dataclass(frozen=True, slots=True)
class TTLBasedIdempotencyConfig:
    """The first run holds the key that the CEL `key_expression` gives for `ttl` from its acceptance."""

    key_expression: str
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class StatusBasedIdempotencyConfig:
    """The first run holds the key until it is over, retries included, and for `fallback_ttl` at most."""

    key_expression: str
    fallback_ttl: timedelta


Idempotency: TypeAlias = TTLBasedIdempotencyConfig | StatusBasedIdempotencyConfig


def check_idempotency(config: Idempotency | None, owner: str) -> Idempotency | None:
    """The config as it is; DefinitionError where its expression does not parse or its time is not positive."""
    if config is None:
        return None
    check(config.key_expression, f"{owner}: the idempotency key")
    span = config.ttl if isinstance(config, TTLBasedIdempotencyConfig) else config.fallback_ttl
    if span <= timedelta(0):
        raise DefinitionError(f"{owner}: the idempotency key is held for {span}: give a positive time")
    return config


def rule_of(config: Idempotency | None) -> IdempotencyRule | None:
    """The config as it is published."""
    match config:
        case None:
            return None
        case TTLBasedIdempotencyConfig():
            return IdempotencyRule(expression=config.key_expression, ttl_ms=_ms(config.ttl))
        case StatusBasedIdempotencyConfig():
            return IdempotencyRule(
                expression=config.key_expression, ttl_ms=_ms(config.fallback_ttl), until_over=True
            )


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def key_of(
    rule: IdempotencyRule,
    expressions: Expressions,
    workflow: str,
    text: str | None,
    metadata: Mapping[str, Json],
) -> IdempotencyKey:
    """The key of one run. ExpressionError where the expression gives no string."""
    variables: dict[str, Json] = {"input": json.loads(text or "{}"), "additional_metadata": dict(metadata)}
    try:
        value = expressions.evaluate(rule.expression, variables)
    except ExpressionError as error:
        raise ExpressionError(f"the idempotency key of {workflow}: {error}") from error
    if not isinstance(value, str) or not value:
        raise ExpressionError(
            f"the idempotency key of {workflow}, {rule.expression!r}, gave {value!r}: it must give a string"
        )
    return IdempotencyKey(key=value, ttl_ms=rule.ttl_ms, until_over=rule.until_over)
