"""Secrets in memory."""

from __future__ import annotations

from headrace.errors import NotConfigured


class MemorySecrets:
    """A reference is `memory:<name>`; others are read where a test put them (`values`)."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def keep(self, name: str, value: str) -> str:
        self.values[f"memory:{name}"] = value
        return f"memory:{name}"

    def read(self, reference: str) -> str:
        found = self.values.get(reference)
        if found is None:
            raise NotConfigured(f"there is no secret {reference}")
        return found

    def forget(self, reference: str) -> None:
        if reference.startswith("memory:"):
            self.values.pop(reference, None)
