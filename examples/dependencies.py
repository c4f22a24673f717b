"""Dependency injection: what a task needs is made before each attempt and closed after it.

Run it: python examples/dependencies.py
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import BaseModel

from headrace import Context, Depends
from quickstart import hatchet
from runtime import running


class Query(BaseModel):
    customer: str


def currency(input: Query, ctx: Context) -> str:
    return "EUR"


@contextmanager
def orders(input: Query, ctx: Context) -> Iterator[sqlite3.Connection]:
    """A database with three orders; closed when the attempt is over, also when it failed."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table orders (customer text, cents integer)")
    connection.executemany("insert into orders values (?, ?)", [("ada", 1250), ("ada", 4199), ("bob", 300)])
    try:
        yield connection
    finally:
        connection.close()


@hatchet.task(name="total", input_validator=Query)
def total(
    input: Query,
    ctx: Context,
    database: Annotated[sqlite3.Connection, Depends(orders)],
    unit: Annotated[str, Depends(currency)],
) -> dict[str, str]:
    (cents,) = database.execute(
        "select sum(cents) from orders where customer = ?", [input.customer]
    ).fetchone()
    return {"total": f"{cents / 100:.2f} {unit}"}


def main() -> None:
    with running(hatchet):
        print("ada's orders:", total.run(Query(customer="ada"))["total"])
    # In a unit test nothing runs but the function, with dependencies of your choice:
    print("in a unit test:", total.mock_run(Query(customer="bob"), dependencies={"unit": "USD"})["total"])


if __name__ == "__main__":
    main()
