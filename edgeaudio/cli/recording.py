"""Ask for words, one after the other, and cut them out of what the microphone hears."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import harmless
from edgeaudio.errors import InputError, OutputError

if TYPE_CHECKING:
    from edgeaudio.evaluation.spoken import Spoken
    from edgeaudio.sources.base import Source
    from edgeaudio.types import Samples

__all__ = ["record_words"]

_PATIENCE_S = 15.0
_BLOCK_S = 0.1
_TRIALS = 4
"""How often a word is asked for again that was too quiet, clipped, too short or too long."""


def record_words(
    n: int, device: str | None, channel: int | None, keep_dir: Path | None
) -> list[tuple[str, Spoken]]:
    """Record a word `n` times; each with the name that warnings give it.

    Raises
    ------
    InputError
        Nobody speaks for 15 s, or the recording was ended.
    DeviceError
        There is no such microphone.
    OutputError
        A recording cannot be kept.
    """
    from edgeaudio.cli.startup import load_numba

    load_numba()
    from edgeaudio.sources.microphone import Microphone

    source = Microphone(device, channel=channel, give_up_s=_PATIENCE_S)
    signals = StopSignals()
    with signals.caught():
        signals.watch(source.stop)
        source.start()
        try:
            return [_ask(number, n, source, keep_dir) for number in range(1, n + 1)]
        finally:
            source.stop()


def _ask(number: int, n: int, source: Source, keep_dir: Path | None) -> tuple[str, Spoken]:
    from edgeaudio.evaluation.spoken import find_word

    label = f"recording {number}"
    for trial in range(_TRIALS):
        click.echo(f"{number} of {n}: say it now", err=True)
        spoken = find_word(_next_word(source))
        if not spoken.problems or trial == _TRIALS - 1:
            break
        click.echo(harmless(f"          once more, please: {'; '.join(spoken.problems)}"), err=True)
    click.echo(
        f"          {spoken.seconds:.2f} s, {spoken.level_dbfs:.0f} dBFS, SNR {spoken.snr_db:.0f} dB",
        err=True,
    )
    if keep_dir is not None:
        _keep(keep_dir / f"{number:03d}.wav", spoken)
    return label, spoken


def _next_word(source: Source) -> Samples:
    """Return the samples around the next word; what was said before it was asked for is gone."""
    from edgeaudio.evaluation.dictation import Dictation
    from edgeaudio.types import SAMPLE_RATE_HZ

    ring = source.ring
    _forget(source)
    dictation = Dictation()
    block_samples = round(_BLOCK_S * SAMPLE_RATE_HZ)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and not source.finished:
        source.wait(block_samples, 1.0)
        if ring.take_gap() is not None:
            dictation.reset()  # a word with a hole in it teaches nothing good
        block = ring.peek(min(block_samples, ring.available))
        if block is None or not len(block):
            continue
        words = dictation.process(block)
        ring.advance(len(block))
        if words:
            return words[0]
    if source.finished:
        raise InputError("the recording was ended; nothing was enrolled")
    raise InputError(
        f"nothing was said for {_PATIENCE_S:.0f} s",
        hint="Is it the right microphone? edgeaudio devices lists them.",
    )


def _forget(source: Source) -> None:
    """Let go of what was heard while nobody was asked to speak."""
    source.wait(0, 0.0)
    while source.ring.take_gap() is not None or source.ring.available:
        source.ring.advance(source.ring.available)


def _keep(path: Path, spoken: Spoken) -> None:
    from edgeaudio.sinks.clips import write_wav

    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        write_wav(path, spoken.samples)
    except OSError as error:
        raise OutputError(f"cannot keep {path}: {error.strerror or error}") from error
