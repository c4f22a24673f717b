"""What several commands share: how a group of them is made, and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


def group_of(text: str) -> typer.Typer:
    """The commands of one noun, such as `headrace runs …`; its help where none is given."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


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
