"""CloudFormation asks the clock's function to publish what was deployed: the answer goes to the URL in its event.

So a stack can be triggered by name as soon as its deployment has ended; and an app that cannot be imported there ends it.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

RESOURCE = "headrace-catalog"
LONGEST_REASON = 1_000
"""Characters: the whole answer may have 4 KB (CloudFormation custom resources)."""


def is_asked(event: Mapping[str, Any]) -> bool:
    """Whether the event is a custom resource's."""
    return "ResponseURL" in event and "RequestType" in event


def answer(event: Mapping[str, Any], publish: Callable[[], object]) -> None:
    """Publish, unless the resource is being deleted, and say how it went. Raises only where the answer cannot be sent."""
    try:
        if event["RequestType"] != "Delete":
            publish()
        status, reason = "SUCCESS", "published"
    except Exception as error:  # noqa: BLE001  # whatever the app does at import, or AWS refuses: it ends the deployment
        status, reason = "FAILED", f"{type(error).__name__}: {error}"[:LONGEST_REASON]
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": event.get("PhysicalResourceId", RESOURCE),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    request = urllib.request.Request(event["ResponseURL"], json.dumps(body).encode(), method="PUT")
    request.add_header("Content-Type", "")  # the URL is signed without one
    with urllib.request.urlopen(request, timeout=20):
        pass
