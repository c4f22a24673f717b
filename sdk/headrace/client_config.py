"""Settings from the environment and from `.env` files, by pydantic-settings."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

from headrace.config import PREFIX, Settings


class ClientConfig(Settings, BaseSettings):
    """`Settings` where what is not given is read from HEADRACE_<FIELD>, or from `.env`, `.env.headrace`, `.env.dev` and
    `.env.local`. Unknown keys are ignored, so that a migrated file loads."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=(".env", ".env.headrace", ".env.dev", ".env.local"),
        env_nested_delimiter="__",
        extra="ignore",
        arbitrary_types_allowed=True,
    )
