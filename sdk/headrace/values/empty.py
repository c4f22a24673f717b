"""The input of a task that declares none."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class EmptyModel(BaseModel):
    """The input of a task that declares none; whatever is given is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)
