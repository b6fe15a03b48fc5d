"""``edgeaudio denoise``: make a recording's steady noise quieter."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeaudio.cli.background import StopSignals
from edgeaudio.cli.common import harmless, is_same_file, log_level_option, stdout_bytes
from edgeaudio.cli.startup import load_numba
from edgeaudio.dsp.denoise import RATES_HZ, STRENGTHS, Denoiser
from edgeaudio.errors import InputError, OutputError, UsageError
from edgeaudio.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from edgeaudio.dsp.denoise import Strength
    from edgeaudio.sources.base import Source
    from edgeaudio.types import Samples

__all__ = ["denoise"]

_FORMATS = {".wav": "WAV", ".flac": "FLAC"}
_SUBTYPE = "PCM_16"
_SUBTYPES = {"WAV": (_SUBTYPE, "PCM_24", "PCM_32", "FLOAT", "DOUBLE"), "FLAC": (_SUBTYPE, "PCM_24")}
_BLOCK_S = 1.0
_WAIT_S = 0.1


@dataclass(frozen=True, kw_only=True)
class _Options:
    source: str
    target: str
    strength: Strength
    overwrite: bool


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "--strength",
    type=click.Choice(STRENGTHS),
    default="medium",
    show_default=True,
    help="How much quieter noise becomes, at most: 6, 12 or 20 dB.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@log_level_option
def denoise(**options: Any) -> None:
    """Make the steady noise of a recording quieter.

    IN is a file (WAV, FLAC, Ogg, MP3), OUT a .wav or .flac file, of the same rate, channels and length.
    Either may be -: raw 16 kHz mono s16le on standard input or output; a file is converted to that.
    """
    _run(_Options(**options))


def _run(options: _Options) -> None:
    started_s = time.monotonic()
    piped = "-" in (options.source, options.target)
    _check(options)
    load_numba()
    heard_s = _stream(options) if piped else _convert(options)
    if sys.stderr is not None:
        what = f"{heard_s:.1f} s in {time.monotonic() - started_s:.1f} s"
        click.echo(harmless(f"{'denoised':<10}{what}, {options.strength}: {options.target}"), err=True)


def _check(options: _Options) -> None:
    """Refuse what would end badly before anything is read."""
    if options.source == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError(
            "standard input is no audio",
            hint="For example: arecord -t raw -r 16000 -f S16_LE -c 1 | edgeaudio denoise - out.wav",
        )
    if options.target == "-":
        if sys.stdout is not None and sys.stdout.isatty():
            raise UsageError(
                "raw audio would be written to the terminal",
                hint=f"For example: edgeaudio denoise {options.source} - | aplay -t raw -r 16000 -f S16_LE",
            )
        return
    target = Path(options.target)
    if target.suffix.lower() not in _FORMATS:
        raise OutputError(
            f"{target}: cannot write a sound file of that kind", hint="Its name has to end in .wav or .flac."
        )
    if is_same_file(target, options.source):
        raise UsageError(f"{target} is what is read", hint="Name another file for the result.")
    from edgeaudio.profiling.files import check_writable

    check_writable(target)
    if target.exists() and not options.overwrite:
        raise UsageError(f"{target} is there already", hint="Name another file, or add --overwrite.")


def _convert(options: _Options) -> float:
    """Write a file as loud, long and wide as another, and return its seconds."""
    import numpy as np

    from edgeaudio.sources.file import open_sound

    path = Path(options.source)
    with open_sound(path) as sound:
        rate_hz: int = sound.samplerate
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise InputError(
                f"{path} has a rate of {rate_hz} Hz; noise is reduced from {RATES_HZ[0]} to {RATES_HZ[1]} Hz",
                hint="Resample it, for example with: sox IN -r 16000 OUT",
            )
        denoisers = [Denoiser(options.strength, sample_rate_hz=rate_hz) for _ in range(sound.channels)]
        n_frames = 0
        with _written(Path(options.target), rate_hz, sound.channels, sound.subtype) as write:
            for block in _read(sound, path, round(_BLOCK_S * rate_hz)):
                n_frames += len(block)
                parts = [
                    denoiser.process(np.ascontiguousarray(channel))
                    for denoiser, channel in zip(denoisers, block.T, strict=True)
                ]
                write(np.stack(parts, axis=1))
            write(np.stack([denoiser.flush() for denoiser in denoisers], axis=1))
    return n_frames / rate_hz


def _read(sound: Any, path: Path, n_frames: int) -> Iterator[Any]:
    """The blocks ``[n, n_channels] float32`` of a file."""
    try:
        yield from sound.blocks(n_frames, dtype="float32", always_2d=True)
    except RuntimeError as error:  # LibsndfileError: the decoder met something broken
        raise InputError(f"{path} is damaged: {error}") from error


def _stream(options: _Options) -> float:
    """Pass 16 kHz mono audio on, from or to a pipe, until it ends or a signal comes; return its seconds."""
    source = _open_source(options.source)
    denoiser = Denoiser(options.strength)
    signals = StopSignals()
    n_samples = 0
    with signals.caught(), _sink(options.target) as write:
        signals.watch(source.stop)
        source.start()
        try:
            for block in _blocks(source, denoiser.hop_samples):
                n_samples += len(block)
                write(denoiser.process(block))
            write(denoiser.flush())
        finally:
            source.stop()
    return n_samples / SAMPLE_RATE_HZ


def _open_source(name: str) -> Source:
    if name == "-":
        from edgeaudio.sources.stdin import StdinSource

        return StdinSource(sys.stdin.buffer)
    from edgeaudio.sources.file import FileSource

    return FileSource(name)


def _blocks(source: Source, n_samples: int) -> Iterator[Samples]:
    """What a source has, as it comes; each is valid until the next."""
    while True:
        finished = source.finished  # read before the wait: so no sample can come after it
        available = source.wait(n_samples, _WAIT_S)
        block = source.ring.peek(available) if available else None
        if block is not None:
            yield block
            source.ring.advance(available)
        elif finished:
            return


@contextmanager
def _sink(target: str) -> Iterator[Callable[[Any], None]]:
    """What writes 16 kHz mono samples to a file, or raw to standard output."""
    if target != "-":
        with _written(Path(target), SAMPLE_RATE_HZ, 1, _SUBTYPE) as write:
            yield write
        return
    from edgeaudio.sinks.clips import to_pcm

    out = stdout_bytes()

    def write_raw(samples: Samples) -> None:
        out.write(to_pcm(samples).tobytes())
        out.flush()

    yield write_raw


@contextmanager
def _written(path: Path, rate_hz: int, n_channels: int, subtype: str) -> Iterator[Callable[[Any], None]]:
    """What writes a sound file, which appears under its name when it is complete.

    Samples keep their number of bits, where the format has them, and are cut off at full scale.
    """
    import soundfile

    form = _FORMATS[path.suffix.lower()]
    if subtype not in _SUBTYPES[form]:
        subtype = _SUBTYPE
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with soundfile.SoundFile(os.fsencode(part), "w", rate_hz, n_channels, subtype, format=form) as out:
            yield out.write
        part.replace(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise OutputError(f"{path} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
