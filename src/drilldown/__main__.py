"""The process around the command line: signals, standard streams, exit codes. `python -m drilldown` starts it too.

Only quick modules are imported at the top. `main` installs the handlers of signals, and then imports the rest.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

READER_GONE = 128 + 13
"""The exit code that shells give a program ended by SIGPIPE."""

INTERNAL_ERROR = 1
BAD_INPUT = 2


class Interruption:
    """Ends the command at SIGINT (Ctrl-C) and SIGTERM, with exit code 128 + the signal's number.

    While the command works, the first signal raises KeyboardInterrupt: a run saves and prints how to resume. At any
    other moment the process leaves at once, and also during an import: modules such as PyTorch swallow the exception
    there, turn it into another error, or abort.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        """The first signal that came."""
        self.working = False

    def install(self) -> None:
        """Installs the handlers, except for signals that the parent process has switched off, as `nohup` does."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._handle)
        sys.unraisablehook = self._handle_unraisable

    def remove(self) -> None:
        """Gives the signals their usual effect: while Python exits, it would ignore them, and exit with code 0."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, signal.SIG_DFL)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None or not self.working or _is_importing(frame):
            _leave(signum)
        self.signum = signum
        raise KeyboardInterrupt

    def _handle_unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Leaves where Python cannot pass the exception on, such as in `__del__`: the command would not end."""
        if self.signum is not None and issubclass(unraisable.exc_type, KeyboardInterrupt):
            _leave(self.signum)
        sys.__unraisablehook__(unraisable)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _leave(signum: int) -> NoReturn:
    """Ends the process at once. A stream that is full or broken cannot delay it."""
    with contextlib.suppress(ValueError):  # in another thread
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, signal.SIG_IGN)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None:  # the parent process has closed it
            continue
        with contextlib.suppress(Exception):  # also where the signal came while this stream was being written
            descriptor = stream.fileno()
            blocking = os.get_blocking(descriptor)
            os.set_blocking(descriptor, False)
            try:
                with contextlib.suppress(Exception):
                    stream.flush()
                if stream is sys.__stderr__:
                    cursor = "\x1b[?25h\n" if stream.isatty() else ""  # a progress bar hides it
                    os.write(descriptor, f"{cursor}drilldown: interrupted\n".encode())
            finally:
                os.set_blocking(descriptor, blocking)  # the terminal is shared with the shell
    os._exit(128 + signum)


class Stream:
    """A standard stream. After its first failure it leads nowhere, so that no later write and no exit fails again.

    *Arguments*: `needed`: raise the first failure. Without it, only a closed pipe is raised: a training does not end
    because its progress cannot be shown.
    """

    def __init__(self, stream: TextIO, *, needed: bool) -> None:
        self._stream = stream
        self._needed = needed
        self.error: OSError | None = None
        """The first failure."""

    def write(self, text: str) -> int:
        """Writes a text; returns its length."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Writes what is in the buffer."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.error = error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if self._needed or isinstance(error, BrokenPipeError):
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _open_streams() -> Stream:
    """Wraps the standard streams; returns standard output.

    A stream that the parent process has closed leads nowhere. Otherwise the first file that is opened would get its
    number, and output of libraries would be written into that file.
    """
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - open until the process ends
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for standard in (sys.stdout, sys.stderr):
        if hasattr(standard, "reconfigure"):
            standard.reconfigure(errors="replace")  # a character that the terminal lacks is replaced
    output = Stream(sys.stdout, needed=True)
    sys.stdout = cast("TextIO", output)
    sys.stderr = cast("TextIO", Stream(sys.stderr, needed=False))
    return output


def main() -> None:
    """Runs the command line; every error is one message and one of the documented exit codes."""
    interruption = Interruption()
    interruption.install()
    output = _open_streams()
    code = _run(interruption, output)
    try:
        output.flush()  # Python would do it too late for a message
    except OSError:
        code = READER_GONE
    if output.error is not None and not isinstance(output.error, BrokenPipeError):
        code = BAD_INPUT
        print(f"drilldown: standard output cannot be written ({output.error.strerror})", file=sys.stderr, flush=True)
    gc.freeze()  # otherwise Python visits every object of PyTorch before it exits, which takes half a second
    interruption.remove()
    sys.exit(code if interruption.signum is None else 128 + interruption.signum)


def _run(interruption: Interruption, output: Stream) -> int:
    """Runs the command; returns the exit code."""
    from drilldown.cli.app import app

    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]  # at any position
    try:
        interruption.working = True
        try:
            _check_working_folder()
            return app(arguments, standalone_mode=False) or 0
        except Exception as error:  # noqa: BLE001 - it becomes a message
            return _report(error, interruption, output, debug=debug)
        finally:
            _print_notices()
            interruption.working = False
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (SystemExit, BrokenPipeError):  # typer and rich raise SystemExit where the reader has closed the pipe
        return READER_GONE


def _print_notices() -> None:
    """Prints what the drives of a command lack, where its progress has not said so."""
    from drilldown.terminal.console import echo

    drives = sys.modules.get("drilldown.drives")  # a command that wrote nothing has not loaded it
    for notice in drives.new_notices() if drives else ():
        echo(notice, stderr=True)


def _check_working_folder() -> None:
    """Raises DrilldownError where the working folder was deleted: libraries would fail with confusing messages."""
    from drilldown.errors import DrilldownError

    try:
        os.getcwd()
    except FileNotFoundError:
        raise DrilldownError("the working folder was deleted; change to another folder") from None


def _report(error: Exception, interruption: Interruption, output: Stream, *, debug: bool) -> int:
    """Prints an error of the command as its message; returns the exit code."""
    import traceback

    import typer

    from drilldown.cli.usage import usage_hint
    from drilldown.errors import DrilldownError
    from drilldown.terminal.console import echo

    if output.error is not None:
        return READER_GONE  # or `main` finds another reason, which it prints: the output may also fail later
    if isinstance(error, typer.Abort):
        return 128 + signal.SIGINT
    if hasattr(error, "exit_code") and hasattr(error, "show"):  # typer's own error: wrong usage
        message = io.StringIO()
        error.show(message)
        echo(message.getvalue().rstrip("\n"), stderr=True)
        if hint := usage_hint(message.getvalue(), sys.argv[1:]):
            echo(hint, stderr=True)
        return int(error.exit_code)
    if debug:
        echo("".join(traceback.format_exception(error)), stderr=True)
    elif isinstance(error, DrilldownError):
        lines = [str(problem).replace("\n", "\n  ") for problem in error.problems]  # no problem pretends to be two
        echo("drilldown: " + "\n".join(lines), stderr=True)
    elif interruption.signum is None:  # a library may turn the interruption into an error of its own
        echo(f"drilldown: internal error: {type(error).__name__}: {error}", stderr=True)
        echo("repeat the command with --debug for the traceback", stderr=True)
    return error.exit_code if isinstance(error, DrilldownError) else INTERNAL_ERROR


if __name__ == "__main__":
    main()
