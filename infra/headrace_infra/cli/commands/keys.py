"""`headrace keys`: data keys for a payload codec."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_infra.cli.commands.options import group_of

keys = group_of("Make data keys for a payload codec, wrapped by KMS.")


@keys.callback()
def _group() -> None:
    """Make data keys for a payload codec, wrapped by KMS."""


@keys.command(
    epilog="Example: headrace keys create arn:aws:kms:eu-central-1:123456789012:key/... --id 2026-11"
)
def create(
    kms_key: Annotated[str, typer.Argument(help="The ARN of the KMS key that wraps it")],
    id: Annotated[str, typer.Option("--id", help="Its name, in every payload that it seals")],
) -> None:
    """Make a data key and print it as code for AesGcmCodec([...]). What is printed is no secret: only KMS can unwrap it."""
    from headrace.aws.kms import create as made
    from headrace.crypto import AesGcmCodec, KmsKey

    AesGcmCodec([KmsKey(id, wrapped="", kms_key=kms_key)])  # refuses a bad id or ARN before KMS is asked
    typer.echo(f'KmsKey("{id}", wrapped="{made(kms_key, id)}", kms_key="{kms_key}"),')
