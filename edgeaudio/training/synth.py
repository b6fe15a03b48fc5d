"""Training words spoken by free speech synthesisers, cut and described like recordings.

Each clip draws its engine, voice, speed, pitch and vocal tract at random. The tract is warped by
playing the speech faster or slower than it was made, with the engine asked beforehand for the
opposite change of speed and pitch, so that formants move without the artefacts of time
stretching. Some of the short phrases are cut out of a carrier sentence, so that their edges carry
the coarticulation of running speech.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edgeaudio.errors import EdgeAudioError, MissingDependencyError, OutputError, UsageError
from edgeaudio.training.takes import Take, draw
from edgeaudio.training.voices import ENGINES, Engine, Spoken
from edgeaudio.types import SAMPLE_RATE_HZ, Samples

__all__ = ["COLUMNS", "HELD_OUT", "EngineVoices", "synthesise", "voice_report"]

MAX_CHARACTERS = 200
ATTEMPTS = 8

COLUMNS = ("path", "seconds", "speaker", "split", "label", "text", "source", "licence", "start", "end")
"""Those of a corpus of recordings, then where in the clip the phrase begins and ends, in seconds."""

HELD_OUT = ("flite/rms",)
"""Voices kept from training, to see over-fitting to synthesis."""

LICENCE = "synthetic, made by edgeaudio"

# Engines swallow function words: an "on" of 0.1 s is no spoken command. Such a clip is asked for
# again, each time more slowly.
SHORTEST_S = 0.22

SILENCE_DB = -45.0
PEAK = 0.5


_Clip: TypeAlias = tuple[Samples, int, int]
"""Samples at 16 kHz, and where among them the phrase begins and ends."""


@dataclass(frozen=True)
class EngineVoices:
    """An engine's voices on this machine, those that it lacks, and the command that installs all."""

    name: str
    voices: tuple[str, ...]
    missing: tuple[str, ...]
    install: str


def voice_report() -> list[EngineVoices]:
    """Voices of every known engine, installed or not."""
    return [
        EngineVoices(
            engine.name,
            engine.voices,
            tuple(voice for voice in engine.known if voice not in engine.voices),
            engine.install,
        )
        for engine in ENGINES
    ]


def synthesise(
    phrases: Sequence[str],
    out_dir: str | Path,
    *,
    per_phrase: int | Mapping[str, int],
    engines: Sequence[str] | None = None,
    seed: int,
    carriers: bool = True,
    held_out: Sequence[str] = HELD_OUT,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Speak every phrase many times and write clips with a manifest.

    Parameters
    ----------
    phrases : sequence of str
        English words or sentences, letters only (numbers written out), up to 200 characters.
    out_dir : path
        Folder for ``<phrase>/<number>.flac`` (16 kHz mono) and ``manifest.tsv``.
    per_phrase : int or mapping
        Clips of each phrase.
    engines : sequence of str, optional
        Names of engines to draw from; all installed ones if None. An engine speaks the oftener the more
        voices it has, but one without recorded voices at most a fifth of all, unless it is the only one.
    seed : int
        Equal arguments and engines give equal files. The draws for a phrase do not depend on what
        other phrases are asked for.
    carriers : bool
        Cut two in five of the phrases of up to three words out of a longer sentence, where the engine
        tells where they stand.
    held_out : sequence of str
        ``engine/voice`` names whose clips get the split ``held_out`` instead of ``train``.
    progress : callable, optional
        Called with the number of clips made and their total.

    Returns
    -------
    Path
        The manifest: label and text are the phrase and the whole sentence, source is the engine,
        speaker is engine, voice and setting.

    Raises
    ------
    UsageError
        A phrase that cannot be said, or an unknown engine.
    MissingDependencyError
        A wanted engine is not installed, or none is.
    OutputError
        The folder cannot be written.
    """
    counts = {_checked(p): per_phrase if isinstance(per_phrase, int) else per_phrase[p] for p in phrases}
    chosen = _installed(engines)
    todo = [(phrase, number) for phrase, count in counts.items() for number in range(count)]
    total, folder, rows = len(todo), Path(out_dir), []
    try:
        for phrase in counts:
            (folder / _slug(phrase)).mkdir(parents=True, exist_ok=True)
        for attempt in range(ATTEMPTS):
            # The last attempt is the phrase alone: no neighbour can swallow it.
            framed = carriers and attempt < ATTEMPTS - 1
            plans = [draw(p, n, attempt, engines=chosen, seed=seed, carriers=framed) for p, n in todo]
            todo = []
            for plan, clip in _speak(plans, chosen):
                if clip is None:
                    todo.append((plan.phrase, plan.number))
                    continue
                rows.append(_write(folder, plan, clip, held_out))
                if progress is not None:
                    progress(len(rows), total)
        if todo:
            raise EdgeAudioError(
                f"No speech came back for '{todo[0][0]}' after {ATTEMPTS} attempts "
                f"with {', '.join(engine.name for engine in chosen)}.",
                hint="Try another spelling or another engine.",
            )
        manifest = folder / "manifest.tsv"
        lines = ["\t".join(row) for row in (COLUMNS, *sorted(rows))]
        manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"Cannot write synthetic speech to {folder}: {error}.") from error
    return manifest


def _speak(plans: list[Take], engines: list[Engine]) -> Iterator[tuple[Take, _Clip | None]]:
    """Let each engine say its share in one go."""
    for engine in engines:
        own = [plan for plan in plans if plan.engine is engine]
        for plan, spoken in zip(own, engine.say([plan.utterance for plan in own]), strict=True):
            yield plan, None if spoken is None else cut(spoken, plan.warp, plan.margins_s)


def cut(spoken: Spoken, warp: float, margins_s: tuple[float, float]) -> _Clip | None:
    """The phrase at 16 kHz with its margins, and where in it the phrase begins and ends.

    Playing the audio ``warp`` times faster moves its formants up by that factor. The margins hold
    the neighbouring speech, fading out, or silence where there is none. None if the phrase is
    silent or too short for anyone to say.
    """
    import soxr

    edges = _active(spoken)
    if edges is None:
        return None
    scale = SAMPLE_RATE_HZ / (spoken.sample_rate_hz * warp)
    before, after = (round(margin * SAMPLE_RATE_HZ) for margin in margins_s)
    speech = soxr.resample(spoken.samples, spoken.sample_rate_hz * warp, SAMPLE_RATE_HZ)
    start, end = round(edges[0] * scale), min(round(edges[1] * scale), speech.size)
    if end - start < SHORTEST_S * SAMPLE_RATE_HZ:
        return None
    clip = np.zeros(before + end - start + after, np.float32)
    head, tail = min(before, start), min(after, speech.size - end)
    clip[before - head : before + end - start + tail] = speech[start - head : end + tail]
    clip[:before] *= np.sin(np.linspace(0, np.pi / 2, before, dtype=np.float32)) ** 2
    clip[clip.size - after :] *= np.cos(np.linspace(0, np.pi / 2, after, dtype=np.float32)) ** 2
    clip *= PEAK / np.max(np.abs(clip))
    return clip, before, clip.size - after


def _active(spoken: Spoken) -> tuple[int, int] | None:
    """First and last sample of the marked phrase that are louder than silence, to 5 ms."""
    frame = spoken.sample_rate_hz // 200
    count = (spoken.end - spoken.start) // frame
    if count < 1:
        return None
    frames = spoken.samples[spoken.start : spoken.start + count * frame].reshape(count, frame)
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    loud = np.flatnonzero(power > max(float(power.max()) * 10 ** (SILENCE_DB / 10), 1e-9))
    if loud.size == 0:
        return None
    return spoken.start + int(loud[0]) * frame, spoken.start + (int(loud[-1]) + 1) * frame


def _write(folder: Path, plan: Take, clip: _Clip, held_out: Sequence[str]) -> tuple[str, ...]:
    import soundfile

    samples, start, end = clip
    path = f"{_slug(plan.phrase)}/{plan.number:05d}.flac"
    try:
        soundfile.write(folder / path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise OutputError(f"Cannot write {folder / path}: {error}.") from error
    split = "held_out" if f"{plan.engine.name}/{plan.utterance.voice}" in held_out else "train"
    # Six digits are a sixtieth of a sample.
    seconds, start_s, end_s = (f"{n / SAMPLE_RATE_HZ:.6f}" for n in (samples.size, start, end))
    text = plan.utterance.text
    return (path, seconds, plan.speaker, split, plan.phrase, text, plan.engine.name, LICENCE, start_s, end_s)


def _installed(names: Sequence[str] | None) -> list[Engine]:
    known = {engine.name: engine for engine in ENGINES}
    for name in names or ():
        if name not in known:
            raise UsageError(f"Unknown speech engine '{name}'.", hint=f"Known: {', '.join(known)}.")
    wanted = [known[name] for name in dict.fromkeys(names)] if names else list(ENGINES)
    missing = [engine for engine in wanted if not engine.voices]
    if names and missing:
        raise MissingDependencyError(
            f"The speech engine {missing[0].name} is not installed.", hint=missing[0].install
        )
    if len(missing) == len(wanted):
        raise MissingDependencyError("No speech engine is installed.", hint=wanted[0].install)
    return [engine for engine in wanted if engine.voices]


def _checked(phrase: str) -> str:
    """The phrase without spare blanks, if every engine can say it."""
    words = " ".join(phrase.split())
    if not re.search("[A-Za-z]", words):
        raise UsageError(f"The phrase '{phrase}' has no word in it.", hint="Write what is to be said.")
    if len(words) > MAX_CHARACTERS:
        raise UsageError(f"A phrase may have {MAX_CHARACTERS} characters, this one has {len(words)}.")
    strange = sorted(set(re.sub("[A-Za-z' -]", "", words)))
    if strange:
        raise UsageError(
            f"The phrase '{words}' has characters that cannot be spoken: {' '.join(strange)}",
            hint="Use letters, spaces, hyphens and apostrophes; write numbers as words.",
        )
    return words


def _slug(phrase: str) -> str:
    """A folder name; long phrases are told apart by a checksum."""
    name = re.sub("[^a-z]+", "_", phrase.lower()).strip("_")
    plain = name == phrase and len(name) <= 40
    return name if plain else f"{name[:40]}-{zlib.crc32(phrase.encode()):08x}"
