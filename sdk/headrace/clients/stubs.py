"""Workflows and tasks by name: to trigger what another service's code defines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from headrace.triggers.refs import WorkflowRunRef
from headrace.triggers.triggered import Triggered
from headrace.values.codec import Codec

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.values.empty import EmptyModel

I = TypeVar("I")  # noqa: E741  # the input
R = TypeVar("R")


class WorkflowStub(Triggered[I, dict[str, Any]]):
    """A workflow without its code: it can be run, and its runs waited for. Its worker must have registered it.

    Labels desired of its worker go by the labels that the stack's workers published.
    """

    def __init__(self, app: Headrace, name: str, metadata: Mapping[str, Any] | None) -> None:
        self.app = app
        self.name = app.settings.apply_namespace(name)
        self.default_additional_metadata = dict(metadata or {})

    def _parse(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return dict(outputs)

    def _ref(self, run_id: str) -> WorkflowRunRef:
        return WorkflowRunRef(self.app, run_id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class TaskStub(Triggered[I, R]):
    """A standalone task without its code."""

    def __init__(
        self, app: Headrace, name: str, output_type: Any, metadata: Mapping[str, Any] | None
    ) -> None:
        self.app = app
        self.name = app.settings.apply_namespace(name)
        self.default_additional_metadata = dict(metadata or {})
        self._codec = Codec(output_type) if output_type is not None else None

    def _parse(self, outputs: Mapping[str, Any]) -> R:
        value: Any = next(iter(outputs.values()), None)
        return self._codec.of(value) if self._codec is not None else value  # type: ignore[no-any-return]  # R is the caller's

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class StubsClient:
    """`hatchet.stubs`."""

    def __init__(self, app: Headrace) -> None:
        self._app = app

    @overload
    def workflow(
        self,
        *,
        name: str,
        input_validator: type[I],
        default_additional_metadata: Mapping[str, Any] | None = None,
    ) -> WorkflowStub[I]: ...
    @overload
    def workflow(
        self,
        *,
        name: str,
        input_validator: None = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
    ) -> WorkflowStub[EmptyModel]: ...
    def workflow(
        self,
        *,
        name: str,
        input_validator: Any = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
    ) -> WorkflowStub[Any]:
        """A workflow by name. A run of one that no worker registered raises ValueError, which names the stack."""
        return WorkflowStub(self._app, name, default_additional_metadata)

    @overload
    def task(
        self,
        *,
        name: str,
        input_validator: type[I],
        output_validator: type[R],
        default_additional_metadata: Mapping[str, Any] | None = None,
    ) -> TaskStub[I, R]: ...
    @overload
    def task(
        self,
        *,
        name: str,
        input_validator: Any = None,
        output_validator: None = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
    ) -> TaskStub[Any, dict[str, Any]]: ...
    def task(
        self,
        *,
        name: str,
        input_validator: Any = None,
        output_validator: Any = None,
        default_additional_metadata: Mapping[str, Any] | None = None,
    ) -> TaskStub[Any, Any]:
        """A standalone task by name; `output_validator` is the type that its result is parsed into."""
        return TaskStub(self._app, name, output_validator, default_additional_metadata)
