"""The zone of a worker: code of other trust has a table, a bucket and queues of its own in the same stack."""

from __future__ import annotations

import re

from headrace.errors import DefinitionError

RESERVED = frozenset({"reply", "dead", "clock", "events", "webhooks", "dashboard"})
"""What names of the stack's own queues and functions begin with: a zone's begin with its name."""


def check_zone(zone: str, where: str) -> str:
    """The zone itself. DefinitionError where its name cannot be part of the names of queues and tables."""
    if zone == "":
        return zone
    if not isinstance(zone, str) or not re.fullmatch("[a-z][a-z0-9]{0,19}", zone) or zone in RESERVED:
        raise DefinitionError(
            f"{where}: zone is {zone!r}: give 1 to 20 lower-case letters and digits, a letter first, and none of {', '.join(sorted(RESERVED))}"
        )
    return zone


def called(zone: str) -> str:
    """The zone in a sentence."""
    return f"zone {zone!r}" if zone else "the stack's own zone"
