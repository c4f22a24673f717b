"""A workflow as a tool of an agent: `workflow.mcp_tool(provider)`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from headrace.values.codec import Codec, output_text


class _Config(Protocol):
    @property
    def description(self) -> str | None: ...

    @property
    def input_validator(self) -> Any: ...


class _Runnable(Protocol):
    """A workflow, as a tool needs it."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> _Config: ...

    async def aio_run(self, input: Any) -> Any: ...


class MCPProvider(StrEnum):
    """The provider whose agents call the tool."""

    CLAUDE = "claude"
    OPENAI = "openai"


def tool_of(workflow: _Runnable, provider: MCPProvider | str, options: Mapping[str, Any]) -> Any:
    """The tool, as the provider's SDK has it. ValueError without a description or a validator, or for no provider."""
    description, validator = workflow.config.description, workflow.config.input_validator
    if not description:
        raise ValueError(
            f"workflow {workflow.name}: a tool needs a description: declare it with description=..."
        )
    if validator is None:
        raise ValueError(
            f"workflow {workflow.name}: a tool needs an input_validator: declare it with input_validator=..."
        )
    codec = Codec(validator)
    match MCPProvider(provider):
        case MCPProvider.CLAUDE:
            return _claude(workflow, description, codec, options)
        case MCPProvider.OPENAI:
            return _openai(workflow, description, codec, options)


async def _answer(workflow: _Runnable, value: Any) -> str:
    """The run's result as JSON."""
    result = await workflow.aio_run(value)
    return output_text(result) or "{}"


def _claude(workflow: _Runnable, description: str, codec: Codec, options: Mapping[str, Any]) -> Any:
    try:
        sdk: Any = importlib.import_module("claude_agent_sdk")
    except ImportError as error:
        raise ImportError("a tool of the Claude Agent SDK needs it: pip install claude-agent-sdk") from error

    async def run(arguments: dict[str, Any]) -> dict[str, Any]:
        text = await _answer(workflow, codec.of(arguments))
        return {"content": [{"type": "text", "text": text}]}

    return sdk.tool(workflow.name, description, codec.adapter.json_schema(), **options)(run)


def _openai(workflow: _Runnable, description: str, codec: Codec, options: Mapping[str, Any]) -> Any:
    try:
        sdk: Any = importlib.import_module("agents")
    except ImportError as error:
        raise ImportError("a tool of the OpenAI Agents SDK needs it: pip install openai-agents") from error

    async def run(context: Any, arguments: str) -> str:
        return await _answer(workflow, codec.of(json.loads(arguments or "{}")))

    given = {"strict_json_schema": False, **options}  # a strict schema has no optional fields
    return sdk.FunctionTool(
        name=workflow.name,
        description=description,
        params_json_schema=codec.adapter.json_schema(),
        on_invoke_tool=run,
        **given,
    )
