"""The entry point: finds the subcommand, and turns every error into a message and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click

from edgeaudio import __version__
from edgeaudio.cli.common import debugging, harmless, reader_has_gone
from edgeaudio.errors import EdgeAudioError, OutputError

__all__ = ["cli", "main"]

_COMMANDS = {
    "wake": "Listen for wake words and spoken commands.",
    "caption": "Write down what is said, live.",
    "sounds": "Tell which sounds there are, from when to when.",
    "vad": "Tell when somebody speaks.",
    "speaker": "Tell by the voice who speaks, among people who were enrolled.",
    "listen": "Listen with any set of tasks, as a file says.",
    "denoise": "Make a recording's steady noise quieter.",
    "label": "Write down what is said in recordings, and when.",
    "profile": "Measure what listening costs here, and how late the answers are.",
    "devices": "List the microphones.",
    "models": "List, show, verify and add models.",
    "profiles": "List, show and detect firmware profiles.",
    "doctor": "Say what is installed, what is missing, and how to mend it.",
    "calibrate": "Set a wake word's threshold for this room.",
    "enrol": "Enrol a word of your own, or a voice, from a few recordings.",
    "ledger": "Review what sounded like a wake word.",
    "explain": "Show which moment and which frequencies an answer came from.",
    "evaluate": "Measure a model on recordings.",
    "train": "Train a model and export it.",
}
"""Name and summary; the command is the object of that name in ``edgeaudio.cli.<name>``."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _LazyGroup(click.Group):
    """A group that imports a subcommand only to run it: `wake` must not wait for `train`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"edgeaudio.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"edgeaudio.cli.{cmd_name}.{cmd_name} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            from edgeaudio.config import nearest

            near = nearest(name, list(_COMMANDS))
            advice = f" Did you mean '{near}'?" if near else ""
            raise click.UsageError(f"No such command '{name}'.{advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="edgeaudio %(version)s")
def cli() -> None:
    """Real-time streaming audio on edge devices. Nothing leaves the device.

    Exit codes: 0 success, 1 a bug, 2 usage, 3 input, 4 audio device, 5 model, 6 something that is not
    installed, 7 configuration, 8 output, 9 the answer is no: a budget is broken, something became worse, no
    threshold is good enough, or a voice is not accepted.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    args : sequence of str, optional
        Without the program's name; ``sys.argv`` by default.
    """
    if not sys.warnoptions:
        # Library warnings are for developers, who ask for them with -W.
        warnings.simplefilter("ignore")
    try:
        status: Any = cli.main(args, prog_name="edgeaudio", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgeAudioError as error:
        _say(f"edgeaudio: {error}")
        return error.exit_code
    except BrokenPipeError:
        _forget_stdout()
        return 0
    except SystemExit as error:
        if not error.code or not reader_has_gone():
            raise
        _forget_stdout()  # click takes a reader who has left for a failure
        return 0
    except OSError as error:
        if reader_has_gone():  # a terminal that was closed
            _forget_stdout()
            return 0
        if error.errno not in _NO_ROOM:
            _report_bug(error)
            return 1
        _forget_stdout()
        _say(f"edgeaudio: the output cannot be written: {error.strerror}")
        return OutputError.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except Exception as error:
        _report_bug(error)
        return 1
    return status if isinstance(status, int) else 0


def _report_bug(error: Exception) -> None:
    if debugging():
        traceback.print_exception(error)
    _say(
        f"edgeaudio: this is a bug: {type(error).__name__}: {error}\n"
        "  Please report it, with what the same command prints with --log-level debug, and with the"
        " output of: edgeaudio doctor"
    )


def _say(text: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # nobody reads it any more
            print(harmless(text), file=sys.stderr, flush=True)


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere instead of complaining about a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
