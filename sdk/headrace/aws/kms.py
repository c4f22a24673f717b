"""Data keys that KMS makes, wraps and unwraps."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headrace.aws.faults import translated
from headrace.errors import AccessDenied, DefinitionError

CONTEXT = "headrace:data-key"
"""The encryption context that a data key is bound to: its id."""


NEVER = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
"""What KMS says of a data key that it will never unwrap."""

FOR_A_PERSON = frozenset(
    {"NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidArnException"}
)
"""What it says of a key of its own that is not there, or turned off."""


def unwrap(id: str, kms_key: str, wrapped: bytes) -> bytes:
    """The key of 256 bits that was wrapped. DefinitionError where it was not wrapped by that key, and for that id; AccessDenied, or
    StoreUnavailable where KMS does not answer."""
    with _asking(f"data key {id}", kms_key) as kms:
        answer = kms.decrypt(KeyId=kms_key, CiphertextBlob=wrapped, EncryptionContext={CONTEXT: id})
    return bytes(answer["Plaintext"])


def create(kms_key: str, id: str) -> str:
    """A new data key, wrapped by a key of KMS (its ARN), as base64. The key itself is not given out. AccessDenied, or StoreUnavailable where
    KMS does not answer."""
    with _asking(f"data key {id}", kms_key) as kms:
        answer = kms.generate_data_key_without_plaintext(
            KeyId=kms_key, KeySpec="AES_256", EncryptionContext={CONTEXT: id}
        )
    return base64.b64encode(answer["CiphertextBlob"]).decode()


@contextmanager
def _asking(what: str, kms_key: str) -> Iterator[Any]:
    """A client of KMS, whose errors are Headrace's, by what they mean for a payload: never, once a person has acted, or later."""
    import boto3
    from botocore.exceptions import ClientError

    with translated("store", what, ""):
        try:
            yield boto3.client("kms")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in NEVER:
                raise DefinitionError(
                    f"{what} was not wrapped by KMS key {kms_key} for that id ({code}): give what `headrace keys create` printed"
                ) from error
            if code in FOR_A_PERSON:
                raise AccessDenied(f"KMS key {kms_key} cannot be used for {what}: {error}") from error
            raise
