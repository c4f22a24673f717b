"""The command line: `headrace`."""

from __future__ import annotations

import os
import sys

EXTRA = ("typer", "rich", "yaml")
INTERRUPTED = 130


def main() -> None:
    """Run the command line. What is wrong is one sentence and exit code 1; `--debug`, or HEADRACE_DEBUG=1, shows the traceback."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `headrace runs list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run() -> None:
    try:
        from headrace_infra.cli.commands.root import app
    except ImportError as error:
        if error.name in EXTRA:
            sys.exit("the command line needs its extra: pip install 'headrace[cli]'")
        raise
    debug = "--debug" in sys.argv or os.environ.get("HEADRACE_DEBUG", "").lower() in ("1", "true")
    try:
        app([each for each in sys.argv[1:] if each != "--debug"], prog_name="headrace")
    except BrokenPipeError:
        raise
    except Exception as error:
        from headrace.errors import HeadraceError  # imports the library: not for --help
        from headrace_infra.cli.console import complain

        if debug:
            import traceback

            traceback.print_exc()
        if not isinstance(error, (HeadraceError, ImportError, ValueError, OSError)):
            raise
        complain(str(error))
        sys.exit(1)
