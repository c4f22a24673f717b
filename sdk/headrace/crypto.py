"""A payload codec with AES-GCM: `Headrace(codec=AesGcmCodec([...]))`. It needs `pip install 'headrace[crypto]'`.

    from headrace.crypto import AesGcmCodec, KmsKey

    codec = AesGcmCodec([                                      # seals with the first, opens with any
        KmsKey("2026-11", wrapped="AQIDAH...", kms_key="arn:aws:kms:..."),
        KmsKey("2026-01", wrapped="AQIDAG...", kms_key="arn:aws:kms:..."),
    ])
    hatchet = Headrace(codec=codec)

`headrace keys create ARN --id 2026-11` makes a data key: 256 bits that KMS wraps with the key of the ARN, and only KMS unwraps. What it
prints is no secret: it belongs into the code. A process asks KMS for each data key that it meets, and again after an hour.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import threading
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from headrace.core.values import dataclass
from headrace.errors import DefinitionError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
TAG_BYTES = 16
KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class DataKey(Protocol):
    """A key of 256 bits. `id` stands in every token that was sealed with it."""

    @property
    def id(self) -> str: ...

    def secret(self) -> bytes:
        """The key itself; kept in the process for as long as the codec's `kept` says."""
        ...


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A data key that a key of KMS has wrapped. `wrapped`: what `headrace keys create` printed. `kms_key`: the ARN of the key that wrapped it,
    which the functions of the stack may decrypt with, by the compiled template."""

    id: str
    wrapped: str
    kms_key: str

    def __post_init__(self) -> None:
        _decoded(self.id, self.wrapped)
        if not self.kms_key.startswith("arn:"):
            raise DefinitionError(
                f"key {self.id!r}: kms_key is {self.kms_key!r}: give the ARN of the KMS key"
            )

    def secret(self) -> bytes:
        from headrace.aws.kms import unwrap

        return unwrap(self.id, self.kms_key, base64.b64decode(self.wrapped))


@dataclass(frozen=True, slots=True, repr=False)
class LocalKey:
    """A data key from a place of your own, such as a secret of Secrets Manager; and for tests. `text`: 32 bytes as base64."""

    id: str
    text: str

    def __post_init__(self) -> None:
        found = _decoded(self.id, self.text)
        if len(found) != KEY_BYTES:
            raise DefinitionError(
                f"key {self.id!r} has {len(found)} bytes: give {KEY_BYTES}, such as base64.b64encode(os.urandom({KEY_BYTES}))"
            )

    def secret(self) -> bytes:
        return base64.b64decode(self.text)

    def __repr__(self) -> str:
        return f"LocalKey({self.id!r}, ...)"


def _decoded(id: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise DefinitionError(f"key {id!r} is not base64: {error}") from None


class AesGcmCodec:
    """Seals with the first key, and opens with whichever a token names: to change keys, put the new one first, and keep the old one for as
    long as runs are kept. First deploy the new key in second place, so that no worker meets a key that it has not.

    `kept`: how long a process goes by a key before it asks for it again (default: an hour), so that what KMS no longer allows ends.

    A fresh random nonce of 96 bits a text: fine for 2^32 texts a key (NIST SP 800-38D, 8.3); change keys well before. A token is not
    bound to its place: code that may write to the table can put a sealed text into another run, and not change or read it.
    """

    def __init__(self, keys: Sequence[DataKey], *, kept: timedelta = timedelta(hours=1)) -> None:
        if not keys:
            raise DefinitionError("AesGcmCodec() has no key: give at least one")
        self._keys = {key.id: key for key in keys}
        if len(self._keys) != len(keys):
            raise DefinitionError("two keys of AesGcmCodec() have the same id: give each its own")
        for id in self._keys:
            if not _ID.fullmatch(id):
                raise DefinitionError(
                    f"the id of a key is {id!r}: give 1 to 40 letters, digits, dashes or underscores"
                )
        self._first = keys[0].id
        self._kept_s = kept.total_seconds()
        self._ciphers: dict[str, tuple[float, AESGCM]] = {}
        self._lock = threading.Lock()

    @property
    def kms_keys(self) -> frozenset[str]:
        """The ARNs of the keys of KMS that are needed: the template lets every function decrypt with them."""
        return frozenset(key.kms_key for key in self._keys.values() if isinstance(key, KmsKey))

    def seal(self, clear: bytes) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher(self._first).encrypt(nonce, clear, self._first.encode())
        return f"{self._first}.{base64.urlsafe_b64encode(nonce + sealed).decode().rstrip('=')}"

    def open(self, token: str) -> bytes:
        id, _, text = token.partition(".")
        if id not in self._keys:
            raise ValueError(f"it was sealed with key {id!r}, and this codec has {', '.join(self._keys)}")
        cipher = self._cipher(id)
        from cryptography.exceptions import InvalidTag

        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if len(data) >= NONCE_BYTES + TAG_BYTES:
                return cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], id.encode())
        except (InvalidTag, binascii.Error):
            pass
        raise ValueError(f"it was changed, or sealed with another key of the id {id!r}")

    def _cipher(self, id: str) -> AESGCM:
        """One thread asks for a key; a failure to get it is not kept."""
        with self._lock:
            until, found = self._ciphers.get(id, (0.0, None))
            if found is None or monotonic() >= until:
                try:
                    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
                except ImportError as error:
                    raise DefinitionError("AesGcmCodec needs `pip install 'headrace[crypto]'`") from error
                found = AESGCM(self._keys[id].secret())
                self._ciphers[id] = (monotonic() + self._kept_s, found)
            return found
