"""A batch task: single runs from anywhere, one call for many of them, by a key and within a second.

Run it: python examples/batching.py
"""

from datetime import timedelta

from pydantic import BaseModel

from headrace import BatchMemberId, Context
from quickstart import hatchet
from runtime import running


class Row(BaseModel):
    table: str
    value: int


class Stored(BaseModel):
    with_others: int


statements: list[str] = []


@hatchet.batch_task(
    name="insert-row",
    batch_max_size=5,
    batch_max_interval=timedelta(seconds=3),
    batch_group_key="input.table",
)
def insert_row(rows: dict[BatchMemberId, Row], ctx: Context) -> dict[BatchMemberId, Stored]:
    table = next(iter(rows.values())).table
    statements.append(f"INSERT INTO {table}: {len(rows)} rows")
    return {member: Stored(with_others=len(rows) - 1) for member in rows}


def main() -> None:
    with running(hatchet):
        rows = [Row(table="orders" if number % 3 else "customers", value=number) for number in range(12)]
        stored = insert_row.run_many([insert_row.create_bulk_run_item(row) for row in rows])
    for statement in sorted(statements):
        print(statement)
    print(f"{len(stored)} rows stored by {len(statements)} statements")


if __name__ == "__main__":
    main()
