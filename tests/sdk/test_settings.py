"""Where settings are read from, and what becomes of Hatchet's."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from headrace import ClientConfig, ClientTLSConfig, Hatchet, HealthcheckConfig, OpenTelemetryConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_hatchet_s_names_are_read(folder: Path) -> None:
    (folder / ".env.hatchet").write_text(
        "HATCHET_CLIENT_TOKEN=ey.token\nHATCHET_CLIENT_NAMESPACE=staging\nHATCHET_CLIENT_DEBUG=true\n"
        "HATCHET_CLIENT_HOST_PORT=example.com:443\nHATCHET_CLIENT_TLS_STRATEGY=none\n"
        "HATCHET_CLIENT_WORKER_HEALTHCHECK_ENABLED=1\nHATCHET_CLIENT_WORKER_HEALTHCHECK_PORT=9000\n"
        "HATCHET_CLIENT_TERMINATE_WORKER_AFTER_NUM_TASKS=7\n"
    )
    config = ClientConfig()
    assert (config.namespace, config.debug, config.terminate_worker_after_num_tasks) == ("staging", True, 7)
    assert config.healthcheck == HealthcheckConfig(enabled=True, port=9000)


def test_our_own_names_and_arguments_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("HATCHET_CLIENT_NAMESPACE=theirs\nHEADRACE_NAMESPACE=file\n")
    assert ClientConfig().namespace == "file"
    monkeypatch.setenv("HEADRACE_NAMESPACE", "env")
    assert ClientConfig().namespace == "env"
    assert ClientConfig(namespace="given").namespace == "given"
    monkeypatch.setenv("HATCHET_CLIENT_WORKER_HEALTHCHECK_PORT", "9000")
    assert ClientConfig(healthcheck=HealthcheckConfig(enabled=True, port=9001)).healthcheck.port == 9001


def test_a_value_that_cannot_be_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HATCHET_CLIENT_WORKER_HEALTHCHECK_PORT", "port")
    with pytest.raises(ValidationError, match="worker_healthcheck_port"):
        ClientConfig()


def test_what_only_a_server_needs_is_taken_and_has_no_effect() -> None:
    given = {
        "token": "t",
        "host_port": "example.com:443",
        "server_url": "https://example.com",
        "tenant_id": "x",
    }
    config = ClientConfig(**given, tls_config=ClientTLSConfig(strategy="none"), otel=OpenTelemetryConfig())
    assert (config.token, config.host_port, config.server_url) == ("", "localhost:7070", "")
    assert Hatchet(config=config).tenant_id == config.tenant_id == "headrace"


def test_every_setting_is_read_somewhere() -> None:
    """What can be set and has no effect is a promise that is not kept."""
    ours = [path for name in ("sdk", "handlers", "infra") for path in (ROOT / name).rglob("*.py")]
    text = "\n".join(path.read_text() for path in ours if path.parent.name != "settings")
    config = ClientConfig()
    names = [name for name in vars(config) if not name.startswith("_")]
    health = [f"healthcheck.{name}" for name in HealthcheckConfig.__dataclass_fields__]
    assert len(names) > 20
    unread = [
        name for name in names if not re.search(rf"(settings|settings\(\)|config|found)\.{name}\b", text)
    ]
    unread += [
        name for name in health if not re.search(rf"(config|healthcheck)\.{name.partition('.')[2]}\b", text)
    ]
    assert unread == []


def test_durations_of_the_health_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HATCHET_CLIENT_WORKER_HEALTHCHECK_EVENT_LOOP_BLOCK_THRESHOLD_SECONDS", "2")
    assert ClientConfig().healthcheck.event_loop_block_threshold_seconds == timedelta(seconds=2)
