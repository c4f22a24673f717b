"""Data keys that KMS makes, wraps and unwraps."""

from __future__ import annotations

import base64

from headrace.aws.faults import translated
from headrace.errors import DefinitionError

CONTEXT = "headrace:data-key"
"""The encryption context that a data key is bound to: its id."""


NEVER = frozenset({"InvalidCiphertextException", "IncorrectKeyException", "NotFoundException"})
"""What KMS says of a key that it will never unwrap."""


def unwrap(id: str, kms_key: str, wrapped: bytes) -> bytes:
    """The key of 256 bits that was wrapped. DefinitionError where it was not wrapped by that key, and for that id; AccessDenied, or
    StoreUnavailable where KMS does not answer."""
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.client("kms")
    with translated("store", f"data key {id}", ""):
        try:
            answer = client.decrypt(KeyId=kms_key, CiphertextBlob=wrapped, EncryptionContext={CONTEXT: id})
        except ClientError as error:
            if error.response["Error"]["Code"] not in NEVER:
                raise
            raise DefinitionError(
                f"data key {id!r} was not wrapped by KMS key {kms_key} for that id ({error.response['Error']['Code']}): give what "
                "`headrace keys create` printed"
            ) from error
    return bytes(answer["Plaintext"])


def create(kms_key: str, id: str) -> str:
    """A new data key, wrapped by a key of KMS (its ARN), as base64. The key itself is not given out."""
    import boto3

    with translated("store", f"KMS key {kms_key}", ""):
        answer = boto3.client("kms").generate_data_key_without_plaintext(
            KeyId=kms_key, KeySpec="AES_256", EncryptionContext={CONTEXT: id}
        )
    return base64.b64encode(answer["CiphertextBlob"]).decode()
