"""Count the AWS requests that boto3 makes, for any caller in this process.

with Meter() as meter:
    simple.run(...)
print(meter.total("write"), meter.calls)
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from headrace.aws.prices import PRICES
from headrace.core.table import INDEXES
from headrace_infra.cost.resources import action_of, partition_of, resource_of
from headrace_infra.cost.units import Charge, Kind, charges_of

_CALL = "_make_api_call"
"""The one method that every boto3 client's every operation goes through, retries included in it. boto3's event hooks see
the same calls, but only on clients made after they are registered."""


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS request and what it bills. `action`, `resource` and `partition`: as IAM sees it."""

    service: str
    operation: str
    charges: tuple[Charge, ...]
    phase: str
    refused: bool = False
    action: str = ""
    resource: str = ""
    partition: str | None = None

    def __str__(self) -> str:
        billed = ", ".join(f"{charge.units:g} {charge.kind}" for charge in self.charges)
        return (
            f"{self.phase}: {self.service} {self.operation}{' (refused)' if self.refused else ''}: {billed}"
        )


@dataclass(slots=True)
class Meter:
    """Everything counted while the meter is entered. Thread-safe."""

    calls: list[Call] = field(default_factory=list)
    invocations: int = 0
    gb_seconds: float = 0.0
    phase: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _original: Any = None
    _entries: dict[str, object] = field(default_factory=dict)
    """What the indexes hold of an item, as far as was seen."""

    def __enter__(self) -> Meter:
        self._original = getattr(BaseClient, _CALL)
        meter, original = self, self._original

        def counted(client: Any, operation: str, params: dict[str, Any]) -> Any:
            service = client.meta.service_model.service_name
            try:
                parsed = original(client, operation, params)
            except ClientError as error:
                meter.record(service, operation, params, dict(error.response), refused=True)
                raise
            meter.record(service, operation, params, parsed)
            return parsed

        setattr(BaseClient, _CALL, counted)
        return self

    def __exit__(self, *exc: object) -> None:
        setattr(BaseClient, _CALL, self._original)

    def record(
        self,
        service: str,
        operation: str,
        params: dict[str, Any],
        parsed: dict[str, Any],
        *,
        refused: bool = False,
    ) -> None:
        """Count one request."""
        charges = tuple(charges_of(service, operation, params, parsed))
        with self._lock:
            if operation == "UpdateItem" and not refused and self._indexed_already(params, parsed):
                charges = tuple(charge for charge in charges if charge.kind != "index_write")
            self.calls.append(
                Call(
                    service,
                    operation,
                    charges,
                    self.phase,
                    refused,
                    action_of(service, operation),
                    resource_of(service, params),
                    partition_of(params),
                )
            )

    def _indexed_already(self, params: dict[str, Any], parsed: dict[str, Any]) -> bool:
        """Whether an update has left the item's entries in the indexes as they were: that costs nothing there (developer guide, "Using
        Global Secondary Indexes", write capacity). What an item was before the first update seen here is not known."""
        item = parsed.get("Attributes", {})
        entry = [item.get(name) for keys in INDEXES.values() for name in keys]
        name = f"{params.get('TableName')} {params['Key']}"
        before, self._entries[name] = self._entries.get(name), entry
        return before == entry

    def invoked(self, *, seconds: float, memory_mb: int) -> None:
        """Count one Lambda invocation."""
        with self._lock:
            self.invocations += 1
            self.gb_seconds += seconds * memory_mb / 1024

    def total(self, kind: Kind) -> float:
        """All units of one kind."""
        return sum(charge.units for call in self.calls for charge in call.charges if charge.kind == kind)

    def totals(self) -> dict[str, float]:
        """Units by kind, Lambda's included."""
        out: Counter[str] = Counter()
        for call in self.calls:
            for charge in call.charges:
                out[charge.kind] += charge.units  # type: ignore[assignment]  # Counter of floats
        out["invocation"] += self.invocations
        out["gb_second"] += self.gb_seconds  # type: ignore[assignment]  # Counter of floats
        return dict(out)

    def dollars(self) -> dict[str, float]:
        """Dollars by kind, at list price."""
        return {kind: units * PRICES[kind].dollars for kind, units in self.totals().items()}

    def listing(self) -> str:
        """Every call on a line: what a failing budget prints."""
        return "\n".join(str(call) for call in self.calls)
