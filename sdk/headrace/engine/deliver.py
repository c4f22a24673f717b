"""A message delivered: claim, run, commit, pay, and on with what became ready."""

from __future__ import annotations

from headrace.engine.engine import Engine
from headrace.engine.runnable import Disposition, Host
from headrace.ports import Received


def deliver(engine: Engine, host: Host, received: Received) -> Disposition:
    """Do what the message asks for. Never raises for what the message holds; raises StoreUnavailable / QueueUnavailable."""
    raise NotImplementedError


def bury(engine: Engine, received: Received, *, reason: str) -> Disposition:
    """A message from the dead-letter queue: its task is FAILED with the reason, unless it has ended or is alive."""
    raise NotImplementedError
