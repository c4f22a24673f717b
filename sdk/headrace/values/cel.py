"""CEL: conditions, concurrency keys, rate keys, idempotency keys. Imported only where an app uses expressions.

The engine is `common-expression-language`, a compiled binding: see docs/decisions/cel.md for the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import cel

from headrace.errors import ExpressionError
from headrace.values.cel_cost import LIGHT_UNITS, units_of

if TYPE_CHECKING:
    from headrace.core.run.plans.plan import Json


LONGEST_EXPRESSION = 10_000
"""Characters: the binding's parser is recursive, and a far longer expression would end the process."""


@lru_cache(maxsize=1024)
def _program(expression: str) -> cel.Program:
    if len(expression) > LONGEST_EXPRESSION:
        raise ExpressionError(
            f"{expression[:60]!r}… has {len(expression):,} characters: an expression has at most {LONGEST_EXPRESSION:,}"
        )
    try:
        return cel.compile(expression)
    except ValueError as error:
        raise ExpressionError(_first_lines(str(error))) from error


def _first_lines(text: str) -> str:
    """The binding's message without what it repeats of the expression's source."""
    return text.replace("ERROR: <input>:", "at line:column ").strip()


class Cel:
    """`ports.Expressions` by CEL. Compiled programs are kept; thread-safe."""

    def check(self, expression: str) -> None:
        """ExpressionError, with line and column, where the expression does not parse."""
        _program(expression)

    def evaluate(self, expression: str, variables: Mapping[str, Json]) -> Json:
        """The value of the expression; ExpressionError, with the expression and the reason, where there is none.

        One that may take long over these variables is evaluated in a process of its own, for a second or two of processor time."""
        if units_of(expression, variables) <= LIGHT_UNITS:
            return self.evaluate_here(expression, variables)
        from headrace.values.cel_apart import evaluate_apart

        _program(expression)
        return evaluate_apart(expression, variables)

    def evaluate_here(self, expression: str, variables: Mapping[str, Json]) -> Json:
        """As `evaluate`, whatever it takes. Other threads stand still meanwhile."""
        program = _program(expression)
        try:
            return cast("Json", program.execute(dict(variables)))
        except KeyError as error:
            raise ExpressionError(f"{expression!r}: no such key: {error.args[0]}") from error
        except (
            Exception
        ) as error:  # an IndexError among others: the binding raises Python's own for each kind
            raise ExpressionError(f"{expression!r}: {error}") from error
