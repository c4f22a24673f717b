"""The command line: `headrace`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. What Headrace itself finds wrong is one sentence and exit code 1, without a traceback."""
    try:
        from headrace_infra.cli.commands import app
    except ImportError as error:
        if error.name in ("typer", "rich", "yaml"):
            sys.exit("the command line needs its extra: pip install 'headrace[cli]'")
        raise
    from headrace.errors import HeadraceError
    from headrace_infra.cli.console import complain

    try:
        app()
    except (HeadraceError, ImportError) as error:
        complain(str(error))
        sys.exit(1)
