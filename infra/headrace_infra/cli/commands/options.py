"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """For a person, or for a program."""

    TABLE = "table"
    JSON = "json"


AppPath = Annotated[str, typer.Argument(help="The app as module:attribute, such as app:hatchet")]
AppOption = Annotated[
    str | None,
    typer.Option("--app", help="The app as module:attribute; default: HEADRACE_APP, or the stack alone"),
]
StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack", help="The stack's name; default: HEADRACE_STACK, or what `headrace dev` runs here"
    ),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="For a person, or for a program")]
RunId = Annotated[str, typer.Argument(help="The run's id, or the first characters of it")]
