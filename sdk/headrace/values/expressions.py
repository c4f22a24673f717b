"""CEL, checked where an expression is written down. The engine is imported only where an app uses expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.errors import DefinitionError, ExpressionError

if TYPE_CHECKING:
    from headrace.core.run.plans.plan import Json
    from headrace.ports import Expressions


def check(expression: str, what: str) -> str:
    """The expression as it is; DefinitionError with the position where it does not parse."""
    if not isinstance(expression, str) or not expression.strip():
        raise DefinitionError(f"{what} is {expression!r}: give a CEL expression, such as 'input.user_id'")
    from headrace.values.cel import Cel

    try:
        Cel().check(expression)
    except ExpressionError as error:
        raise DefinitionError(f"{what}: {error}") from error
    return expression


class LazyExpressions:
    """CEL, imported when the first expression is evaluated: a worker whose tasks use none never pays for it."""

    def __init__(self) -> None:
        self._cel: Expressions | None = None

    def evaluate(self, expression: str, variables: Mapping[str, Json]) -> Json:
        if self._cel is None:
            from headrace.values.cel import Cel

            self._cel = Cel()
        return self._cel.evaluate(expression, variables)
