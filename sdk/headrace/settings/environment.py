"""Settings from the environment: with `client_config`, the only reader of it."""

from __future__ import annotations

import json
import os
from typing import Any

from headrace.errors import NotConfigured
from headrace.settings.settings import PREFIX, Settings


def _transport(text: str) -> str:
    if text not in ("lean", "boto3"):
        raise NotConfigured(f"HEADRACE_TRANSPORT is {text!r}: give lean or boto3")
    return text


def _switch(text: str) -> bool:
    return text.lower() in ("1", "true")


IN_LAMBDA: dict[str, Any] = {
    "stack": str, "zone": str, "namespace": str, "table": str, "bucket": str, "transport": _transport, "queues": json.loads, "app": str, "worker": str,
    "visibility_s": int, "retention_days": int, "max_crashes": int, "log_payloads": _switch, "sealed": _switch,
}  # fmt: skip
"""What the template sets, and how it is read."""


def from_environment() -> Settings:
    """The settings of this process. In a Lambda function the template has set them and there are no files: they are read
    without pydantic-settings, whose import would be a tenth of a cold start."""
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        from headrace.settings.client_config import ClientConfig

        return ClientConfig()
    found = {name: os.environ.get(PREFIX + name.upper()) for name in IN_LAMBDA}
    return Settings(**{name: IN_LAMBDA[name](text) for name, text in found.items() if text is not None})


def names_stack(settings: Settings) -> bool:
    """Whether the environment names the stack of this process: otherwise it has the default's name, and may not exist."""
    usual = Settings()
    return (settings.stack, settings.table) != (usual.stack, usual.table) or f"{PREFIX}STACK" in os.environ
