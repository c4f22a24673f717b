"""`hatchet.cel`: try an expression before it decides anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from headrace.errors import ExpressionError
from headrace.triggers.faces import aio
from headrace.values.codec import metadata_of
from headrace.values.expressions import LazyExpressions


class CELSuccess(BaseModel):
    """What the expression gives."""

    status: Literal["success"] = "success"
    output: bool


class CELFailure(BaseModel):
    """Why it gives nothing."""

    status: Literal["failure"] = "failure"
    error: str


class CELEvaluationResult(BaseModel):
    """`result.status` tells which of the two it is."""

    result: CELSuccess | CELFailure = Field(discriminator="status")


class CELClient:
    """Evaluates here: nothing is sent or read."""

    def debug(
        self,
        expression: str,
        input: Mapping[str, Any],
        additional_metadata: Mapping[str, Any] | None = None,
        filter_payload: Mapping[str, Any] | None = None,
    ) -> CELEvaluationResult:
        """What a filter's expression gives for an event: `input` is the event's payload, `payload` the filter's (`filter_payload`).

        A CELFailure, with the reason, for one that does not parse, cannot be evaluated, or gives neither true nor false.
        """
        variables = {
            "input": metadata_of(input),
            "additional_metadata": metadata_of(additional_metadata),
            "payload": metadata_of(filter_payload),
        }
        try:
            found = LazyExpressions().evaluate(expression, variables)
        except ExpressionError as error:
            return CELEvaluationResult(result=CELFailure(error=str(error)))
        if not isinstance(found, bool):
            return CELEvaluationResult(
                result=CELFailure(error=f"it gives {found!r}: it has to give true or false")
            )
        return CELEvaluationResult(result=CELSuccess(output=found))

    aio_debug = aio(debug)
