"""A task that fails and is run again, one that waits between attempts, and one that gives up at once.

Run it: python examples/retries.py
"""

from pydantic import BaseModel

from headrace import Context, FailedTaskRunExceptionGroup, NonRetryableException
from quickstart import hatchet
from runtime import running


class Flaky(BaseModel):
    failures: int


class Attempts(BaseModel):
    attempts: int


@hatchet.task(name="flaky", input_validator=Flaky, retries=3)
def flaky(input: Flaky, ctx: Context) -> Attempts:
    if ctx.retry_count < input.failures:
        raise ConnectionError(f"attempt {ctx.attempt_number} of {ctx.max_attempts}: the service is not there")
    return Attempts(attempts=ctx.attempt_number)


@hatchet.task(name="patient", input_validator=Flaky, retries=3, backoff_factor=2.0, backoff_max_seconds=1)
def patient(input: Flaky, ctx: Context) -> Attempts:
    """Waits min(2 ** n, 1) seconds before the n-th retry."""
    if ctx.retry_count < input.failures:
        raise ConnectionError("try again a little later")
    return Attempts(attempts=ctx.attempt_number)


class Payment(BaseModel):
    card: str


@hatchet.task(name="charge", input_validator=Payment, retries=5)
def charge(input: Payment, ctx: Context) -> None:
    raise NonRetryableException(f"card {input.card[-4:]} was declined: trying again will not help")


def main() -> None:
    with running(hatchet):
        print("flaky succeeded on attempt", flaky.run(Flaky(failures=2)).attempts)
        print("patient succeeded on attempt", patient.run(Flaky(failures=1)).attempts)
        try:
            flaky.run(Flaky(failures=9))
        except FailedTaskRunExceptionGroup as failed:
            print("flaky gave up:", failed.exceptions[0].exc)
        try:
            charge.run(Payment(card="4000000000000002"))
        except FailedTaskRunExceptionGroup as failed:
            print("charge was tried once:", failed.exceptions[0].exc)


if __name__ == "__main__":
    main()
