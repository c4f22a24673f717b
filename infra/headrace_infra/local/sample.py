"""An input that a workflow takes, made from the JSON schema of its model: for the example that `headrace dev` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from headrace.values.schema import example

if TYPE_CHECKING:
    from headrace.app import Headrace


def example_of(app: Headrace) -> dict[str, Any] | None:
    """A workflow of the app, and an input that its model takes; None where none was found for any."""
    for workflow in app._served():
        found = sample(workflow.tasks[0].input_codec.type)
        if found is not None:
            return {"workflow": workflow.name, "input": found}
    return None


def sample(model: Any) -> dict[str, Any] | None:
    """An object that the model takes, with its required fields only; None where none could be made."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        schema = adapter.json_schema()
        value = example(schema, schema.get("$defs", {}))
        adapter.validate_python(value)
    except (ValidationError, ValueError, TypeError, KeyError, RecursionError, NotImplementedError):
        return None
    except Exception:  # noqa: BLE001  # a user's validator may raise anything: then there is no example
        return None
    return value if isinstance(value, dict) else None
