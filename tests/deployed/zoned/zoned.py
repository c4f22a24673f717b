"""Orders are of the stack's own zone; what pays is in the vault. In each a task tries to read what it is told to, under its worker's role."""

from typing import Any

import boto3
from botocore.exceptions import ClientError

from headrace import Context, Headrace

hatchet = Headrace()


@hatchet.task(name="pay")
def pay(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
    return {"cents": input["cents"]}


@hatchet.task(name="order")
def order(input: dict[str, Any], ctx: Context) -> dict[str, str]:
    return {"payment": pay.run({"cents": 990}, wait_for_result=False).workflow_run_id}


def read(table: str, run_id: str) -> str:
    """Whether the role that this runs under may read a run in a table: "read", or AWS's code for no."""
    try:
        boto3.client("dynamodb").get_item(
            TableName=table, Key={"pk": {"S": f"run#{run_id}"}, "sk": {"S": "run"}}
        )
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "read"


@hatchet.task(name="peek")
def peek(input: dict[str, Any], ctx: Context) -> dict[str, str]:
    return {table: read(table, ctx.workflow_run_id) for table in input["tables"]}


@hatchet.task(name="peek-in-the-vault")
def peek_in_the_vault(input: dict[str, Any], ctx: Context) -> dict[str, str]:
    return {table: read(table, ctx.workflow_run_id) for table in input["tables"]}


hatchet.worker("main", workflows=[order, peek], starts=[pay])
hatchet.worker("payments", workflows=[pay, peek_in_the_vault], zone="vault")
