"""Ask for a workflow's input on the terminal, field by field, as its model's schema says."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from headrace.errors import DefinitionError
from headrace.values.schema import SchemaField, fields_of, value_of

if TYPE_CHECKING:
    from headrace.app import Headrace


def asked_for(app: Headrace, workflow: str) -> dict[str, Any]:
    """The input that the person at the terminal gives; `{}` where there is no terminal, or no schema.

    What is asked goes to stderr, so that stdout holds the run's id or result only.
    """
    if not _at_a_terminal():
        return {}
    try:
        schema = app.workflows.get(workflow).input_schema
    except (ValueError, DefinitionError):  # an unknown workflow: starting it says so, with what there is
        return {}
    answers = {field.name: _ask(field) for field in fields_of(schema or {})}
    return {name: value for name, value in answers.items() if value is not ...}


def _at_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(field: SchemaField) -> Any:
    """The field's value; `...` where it is left out. Asks again until the text is of the field's kind."""
    choices = f" ({', '.join(field.choices)})" if field.choices else ""
    about = f"{field.name}{choices}{'' if field.required else ', optional'}"
    while True:
        text: str = typer.prompt(about, default=field.initial, show_default=bool(field.initial), err=True)
        if not text and not field.required:
            return ...
        try:
            return value_of(field, text)
        except ValueError as error:
            typer.echo(f"  {error}", err=True)
