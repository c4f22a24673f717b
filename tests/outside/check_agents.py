"""Do agents take a task as their tool? `python tests/outside/check_agents.py`, with claude-agent-sdk and openai-agents installed beside Headrace.

The tool is listed and called by the protocol that the Claude Agent SDK speaks, and invoked as the OpenAI Agents SDK does. No model is asked.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from headrace import Context, Headrace, MCPProvider
from headrace_infra.testing import local

hatchet = Headrace()


class Question(BaseModel):
    city: str
    days: int = 1


@hatchet.task(description="The weather of a city", input_validator=Question)
async def forecast(input: Question, ctx: Context) -> dict[str, str]:
    return {"text": f"{input.days} days in {input.city}"}


@hatchet.task(description="Fails", input_validator=Question)
async def fails(input: Question, ctx: Context) -> dict[str, str]:
    raise ValueError("no weather")


async def by_claude() -> None:
    import claude_agent_sdk
    from mcp import Client

    tools: list[Any] = [task.mcp_tool(MCPProvider.CLAUDE) for task in (forecast, fails)]
    server: Any = claude_agent_sdk.create_sdk_mcp_server("weather", tools=tools)
    async with Client(server["instance"]) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["forecast", "fails"]
        found = await client.call_tool("forecast", {"city": "Bonn", "days": 3})
        assert found.content[0].text == '{"text":"3 days in Bonn"}'
        failed = await client.call_tool("fails", {"city": "Bonn"})
        assert failed.is_error
        assert "no weather" in failed.content[0].text


async def by_openai() -> None:
    from agents.tool_context import ToolContext

    tool = forecast.mcp_tool(MCPProvider.OPENAI)
    context: Any = ToolContext(
        context=None, tool_name="forecast", tool_call_id="1", tool_arguments='{"city":"Oslo"}'
    )
    assert await tool.on_invoke_tool(context, '{"city":"Oslo"}') == '{"text":"1 days in Oslo"}'


def main() -> None:
    with local(hatchet, backend="memory"):
        asyncio.run(by_claude())
        asyncio.run(by_openai())
    print("both take it")


if __name__ == "__main__":
    main()
