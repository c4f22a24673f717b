"""Settings from the environment: with `client_config`, the only reader of it."""

from __future__ import annotations

import json
import os
from typing import Any

from headrace.config import PREFIX, Settings


def from_environment() -> Settings:
    """The settings of this process. In a Lambda function the template has set them and there are no files: they are read
    without pydantic-settings, whose import would be a tenth of a cold start."""
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        from headrace.client_config import ClientConfig

        return ClientConfig()
    found: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        value = os.environ.get(PREFIX + name.upper())
        if value is not None:
            found[name] = json.loads(value) if field.annotation == dict[str, str] else value
    return Settings.model_validate(found)
