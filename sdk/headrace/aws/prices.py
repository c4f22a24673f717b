"""List prices, us-east-1, on demand, in US dollars. Each with its source; read 2026-11."""

from __future__ import annotations

from headrace.core.values import dataclass

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for one unit, what the unit is, and where the price stands."""

    dollars: float
    unit: str
    source: str


PRICES: dict[str, Price] = {
    "write": Price(0.625 / MILLION, "write request unit (1 KB)", "aws.amazon.com/dynamodb/pricing/on-demand"),
    "index_write": Price(
        0.625 / MILLION, "write request unit of an index", "aws.amazon.com/dynamodb/pricing/on-demand"
    ),
    "read": Price(0.125 / MILLION, "read request unit (4 KB)", "aws.amazon.com/dynamodb/pricing/on-demand"),
    "sqs": Price(0.40 / MILLION, "standard request (64 KB)", "aws.amazon.com/sqs/pricing"),
    "s3_put": Price(5.00 / MILLION, "PUT", "aws.amazon.com/s3/pricing"),
    "s3_get": Price(0.40 / MILLION, "GET", "aws.amazon.com/s3/pricing"),
    "invocation": Price(0.20 / MILLION, "Lambda request", "aws.amazon.com/lambda/pricing"),
    "gb_second": Price(16.6667 / MILLION, "GB-second, x86", "aws.amazon.com/lambda/pricing"),
    "other": Price(0.0, "not billed or not priced here", ""),
}

STEP_FUNCTIONS_TRANSITION = Price(
    25.00 / MILLION, "state transition, Standard", "aws.amazon.com/step-functions/pricing"
)
DURABLE_OPERATION = Price(
    8.00 / MILLION, "durable operation", "aws.amazon.com/lambda/pricing, third-party reading of 2026-09-20"
)
"""Lambda durable functions also bill data written and retained; those prices are not verified and left out."""


def step_functions_dollars(tasks: int) -> float:
    """A Standard workflow of `tasks` Lambda states: one transition each, plus start; the Lambdas come on top."""
    return (tasks + 1) * STEP_FUNCTIONS_TRANSITION.dollars


def durable_functions_dollars(steps: int) -> float:
    """One durable execution of `steps` steps: one operation each and one for the execution; the Lambda comes on top."""
    return (steps + 1) * DURABLE_OPERATION.dollars
