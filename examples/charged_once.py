"""A payment that a crash makes twice, and its mend: found by simulation, `headrace simulate`.

    headrace simulate charged_once:hatchet --workflow checkout --input '{"id": "1", "cents": 990}' --once charged_once:Bank.book
    headrace simulate charged_once:hatchet --workflow safe-checkout --input '{"id": "1", "cents": 990}' --once charged_once:Bank.book

The first finds a seed under which the money is booked twice: a worker dies after the bank has taken it and before the task's result
is recorded, so the task runs again. The second charges with an idempotency key, which is the same in every execution of a run.
"""

from __future__ import annotations

from pydantic import BaseModel

from headrace import Context, Headrace

hatchet = Headrace()


class Order(BaseModel):
    id: str
    cents: int


class Receipt(BaseModel):
    order: str
    payment: str


class Bank:
    """A stand-in for a payment provider. `book` is where money moves, and where the provider remembers the key: in one transaction."""

    def __init__(self) -> None:
        self._by_key: dict[str, str] = {}
        self._booked = 0

    def charge(self, cents: int, *, idempotency_key: str | None = None) -> str:
        """The payment's id. Two charges with one idempotency key are one payment."""
        if idempotency_key is not None and idempotency_key in self._by_key:
            return self._by_key[idempotency_key]
        return self.book(cents, idempotency_key)

    def book(self, cents: int, idempotency_key: str | None) -> str:
        self._booked += 1
        payment = f"payment-{self._booked}"
        if idempotency_key is not None:
            self._by_key[idempotency_key] = payment
        return payment


bank = Bank()


@hatchet.task(name="checkout", retries=3)
def checkout(input: Order, ctx: Context) -> Receipt:
    return Receipt(order=input.id, payment=bank.charge(input.cents))


@hatchet.task(name="safe-checkout", retries=3)
def safe_checkout(input: Order, ctx: Context) -> Receipt:
    payment = bank.charge(input.cents, idempotency_key=f"checkout-{ctx.workflow_run_id}")
    return Receipt(order=input.id, payment=payment)


worker = hatchet.worker("payments", workflows=[checkout, safe_checkout])

if __name__ == "__main__":
    from headrace_infra.testing import survives
    from headrace_infra.testing.simulated.seeds import SeedFailed

    order = Order(id="1", cents=990)
    try:
        survives(hatchet, checkout, order, once=[Bank.book])
    except SeedFailed as found:
        print(f"checkout: {found}")
    summary = survives(hatchet, safe_checkout, order, once=[Bank.book])
    print(f"safe-checkout: {summary.seeds} seeds, as without faults")
