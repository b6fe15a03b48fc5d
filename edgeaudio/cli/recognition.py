"""The options that make a recogniser, for the commands that have one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from edgeaudio.cli.listening import backend_option, profile_option
from edgeaudio.errors import UsageError

if TYPE_CHECKING:
    from edgeaudio.profiles import Profile, Runtime
    from edgeaudio.tasks.endpoint import Endpoint
    from edgeaudio.tasks.recognizer import Recognizer

__all__ = [
    "RecognizerOptions",
    "check_recognizer",
    "load_recognizer",
    "make_endpoint",
    "recognizer_options",
]

_COMMAND = TypeVar("_COMMAND", bound=Callable[..., Any])
_DEFAULT_MODEL = "captions-en-small"


@dataclass(frozen=True, kw_only=True)
class RecognizerOptions:
    """What `recognizer_options` yields."""

    model: str
    language: str | None
    grammar: Path | None
    hotwords: tuple[str, ...]
    decoder: Literal["auto", "greedy", "prefix", "lexicon"]
    backend: Runtime | None
    profile: str | None


def recognizer_options(command: _COMMAND) -> _COMMAND:
    """Add the options of `RecognizerOptions`."""
    for decorate in reversed(
        (
            click.option(
                "--model",
                metavar="NAME|PATH",
                default=_DEFAULT_MODEL,
                show_default=True,
                help="Model to listen with.",
            ),
            click.option(
                "--lm",
                "language",
                metavar="NAME|PATH",
                help="Lexicon and language model, instead of the model's own.",
            ),
            click.option(
                "--grammar",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Understand only the orders in this file.",
            ),
            click.option(
                "--hotword",
                "hotwords",
                multiple=True,
                metavar="TEXT[:STRENGTH]",
                help="Words that are likely to be said, such as a name; repeatable.",
            ),
            click.option(
                "--decoder",
                type=click.Choice(["auto", "greedy", "prefix", "lexicon"]),
                default="auto",
                show_default=True,
                help="How words are found.",
            ),
            profile_option,
            backend_option,
        )
    ):
        command = decorate(command)
    return command


def check_recognizer(options: RecognizerOptions) -> None:
    """Refuse options that contradict each other."""
    if any(not hotword.strip() for hotword in options.hotwords):
        raise UsageError("a --hotword is empty", hint='Write for example --hotword "edge audio".')
    if options.grammar is not None and options.hotwords:
        raise UsageError("--grammar allows its own words only; --hotword has no use", hint="Leave one out.")


def load_recognizer(
    options: RecognizerOptions, profile: Profile, endpoint: Endpoint | None = None
) -> Recognizer:
    """Load what was asked for."""
    from edgeaudio.tasks.recognizer import Recognizer

    return Recognizer.load(
        options.model,
        language=options.language,
        grammar=options.grammar,
        hotwords=options.hotwords,
        backend=options.backend,
        endpoint=endpoint,
        decoder=options.decoder,
        profile=profile,
    )


def make_endpoint(silence_s: float | None, complete_s: float | None, max_s: float | None) -> Endpoint:
    """Return the rules by which captions end, of which None is the usual one."""
    from edgeaudio.tasks.endpoint import Endpoint

    rules = Endpoint()
    silence_s = silence_s or rules.silence_s
    return Endpoint(
        silence_s=silence_s,
        pause_s=min(rules.pause_s, silence_s),
        complete_s=complete_s or min(rules.complete_s, silence_s),
        max_s=max_s or rules.max_s,
    )
