"""The process around the command line: signals and exit codes. `python -m drilldown` starts it too."""

from __future__ import annotations

import os
import signal
import sys

import typer

from drilldown.cli.app import app
from drilldown.errors import DrilldownError

READER_GONE = 128 + 13
"""The exit code that shells give a program ended by SIGPIPE."""


def main() -> None:
    """Runs the command line; every error is one message and one of the documented exit codes."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]  # at any position
    terminated: list[int] = []

    def terminate(signum: int, frame: object) -> None:  # noqa: ARG001
        terminated.append(signum)
        raise KeyboardInterrupt  # stops a run just as Ctrl-C does

    signal.signal(signal.SIGTERM, terminate)
    for standard in (sys.stdout, sys.stderr):
        if hasattr(standard, "reconfigure"):
            standard.reconfigure(errors="replace")  # a character that the terminal lacks is replaced
    try:
        code = app(arguments, standalone_mode=False)
    except DrilldownError as error:
        if debug:
            raise
        typer.echo(f"drilldown: {error}", err=True)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 128 + signal.SIGINT
    except SystemExit:  # typer and rich raise it where the reader has closed the pipe, as in `drilldown runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = READER_GONE
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # typer's own error: wrong usage
            error.show()
            sys.exit(error.exit_code)
        if debug:
            raise
        typer.echo(f"drilldown: internal error: {type(error).__name__}: {error}", err=True)
        typer.echo("repeat the command with --debug for the traceback", err=True)
        code = 1
    sys.exit(128 + terminated[0] if terminated else code or 0)


if __name__ == "__main__":
    main()
