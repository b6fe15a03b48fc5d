"""The recogniser: sound to captions whose committed words never change.

::

    frames ── acoustic model ── anything but blank? ── decoder ── committed | tentative ── over?
                                       │ no                                                  │
                                 the last 0.3 s are kept                              one final event
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from edgeaudio.backends.base import Runtime, StreamingGraph
from edgeaudio.decoding.base import Decoder, Hypothesis, LogProbs
from edgeaudio.events import Caption, Event
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.manifest import ModelManifest
from edgeaudio.profiles.profile import Measure, Profile
from edgeaudio.tasks.acoustic import AcousticModel
from edgeaudio.tasks.credibility import is_credible
from edgeaudio.tasks.endpoint import Endpoint
from edgeaudio.tasks.loading import DEFAULT_MODEL, DecoderName, load_parts
from edgeaudio.tasks.timeline import Timeline
from edgeaudio.tasks.writer import CaptionWriter
from edgeaudio.types import Frames

if TYPE_CHECKING:
    from edgeaudio.decoding.grammar import Grammar

__all__ = ["Recognizer"]

_DECIDE_S = 0.16
"""Words are committed, shown and ended at most so often."""
_COMMIT_S = 0.78
"""So long after it was spoken a word is committed, even if other readings survive."""
_BEFORE_S = 0.3
"""How much of what preceded the first sound the decoder hears, too."""
_ACTIVE = math.log(0.8)
"""Below this log-probability of blank, somebody may have begun to speak."""
_NARROW = 4
"""By how much the beam becomes narrower when the machine is too slow."""


class _Beam(Protocol):
    """What of a decoder can be narrowed: greedy ones have no beam."""

    beam_width: int


class Recognizer:
    """Writes down what is said.

    One instance serves one stream and one thread. What was said last is certain only when it is silent
    behind it: call `flush` before a `reset` in the midst of a stream, so that a caption begun then ends.

    Parameters
    ----------
    acoustic : AcousticModel
        What hears.
    decoder : Decoder
        What finds the words.
    manifest : ModelManifest
        The model's name, and how the decoder's evidence becomes a confidence.
    endpoint : Endpoint, optional
        When a caption is over.
    grammar : Grammar, optional
        Says what a final text means, and when it is complete if `endpoint` does not.
    measures : tuple of {"tentative_text", "search_width"}
        What is done without, in this order, when it is late; see `shed`.

    Raises
    ------
    ModelError
        If the model makes no captions.
    """

    background = True
    """A step takes longer than a wake word may wait: the engine gives such tasks a thread of their own."""

    def __init__(
        self,
        acoustic: AcousticModel,
        decoder: Decoder,
        manifest: ModelManifest,
        *,
        endpoint: Endpoint | None = None,
        grammar: Grammar | None = None,
        measures: tuple[Measure, ...] = ("tentative_text", "search_width"),
    ) -> None:
        self._acoustic = acoustic
        self._decoder = decoder
        self._manifest = manifest
        self._endpoint = endpoint or Endpoint()
        if grammar is not None and self._endpoint.is_complete is None:
            self._endpoint = replace(
                self._endpoint, is_complete=lambda text: grammar.is_complete(text.split())
            )
        self._time = Timeline(acoustic)
        self._writer = CaptionWriter(manifest, self._spoken, self._is_credible, grammar)
        self._frame_s = acoustic.frame_samples / acoustic.spec.sample_rate_hz
        self._commit_samples = round(_COMMIT_S * acoustic.spec.sample_rate_hz)
        self._piece = max(1, min(acoustic.chunk_frames, round(_DECIDE_S / self._frame_s)))
        self._n_before = math.ceil(_BEFORE_S / self._frame_s)
        self._beam = cast(_Beam, decoder) if hasattr(decoder, "beam_width") else None
        self._beam_width = self._beam.beam_width if self._beam else 0
        # A grammar's decoder knows nothing before the end, and has then weighed what is no order, too.
        self._grammar_decides = grammar is not None
        self._measures = measures
        self._tentative = True
        n_rows = math.ceil(self._endpoint.max_s / self._frame_s) + self._n_before + 2 * self._piece
        # All that was heard since the caption's beginning; while nobody speaks, the newest _n_before.
        self._rows = np.zeros((n_rows, len(acoustic.tokens)), np.float32)
        self._warm_up()
        self.reset()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        language: str | Path | None = None,
        grammar: str | Path | None = None,
        hotwords: Sequence[str] = (),
        backend: Runtime | None = None,
        endpoint: Endpoint | None = None,
        decoder: DecoderName = "auto",
        profile: Profile | None = None,
    ) -> Recognizer:
        """Load a model by its name, or from its folder.

        Parameters
        ----------
        name_or_path : str or Path
            A name that ``edgeaudio models list`` shows, or the path of a bundle's folder.
        language : str or Path, optional
            Lexicon and language model, by name or path, instead of the model's own.
        grammar : str or Path, optional
            A file of commands: nothing else is understood.
        hotwords : sequence of str
            Words and phrases that are likely to be said.
        backend : {"onnx", "litert"}, optional
            The runtime, instead of the profile's; without both LiteRT where it is installed and the
            model has a graph for it, else onnxruntime.
        endpoint : Endpoint, optional
            When a caption is over.
        decoder : {"auto", "greedy", "prefix", "lexicon"}
            How words are found; by default with the lexicon where there is one.
        profile : Profile, optional
            With what the network runs, and what is done without when it is late; default `Profile()`.

        Raises
        ------
        UsageError
            If options contradict each other, or a hotword cannot be written with the model's letters.
        ModelError
            If there is no such model or language, something is wrong with it, or they do not belong
            together.
        ConfigError
            If the grammar is wrong.
        BackendError
            If the runtime, or a provider that the profile names, is not installed.
        """
        parts = load_parts(
            name_or_path,
            language=language,
            grammar=grammar,
            hotwords=hotwords,
            backend=backend,
            decoder=decoder,
            profile=profile,
        )
        return cls(
            parts.acoustic,
            parts.decoder,
            parts.manifest,
            endpoint=endpoint,
            grammar=parts.grammar,
            measures=(profile or Profile()).shed,
        )

    @property
    def name(self) -> str:
        """The model's name."""
        return self._manifest.name

    @property
    def spec(self) -> FrontendSpec:
        """The frontend that the model was trained with."""
        return self._acoustic.spec

    @property
    def manifest(self) -> ModelManifest:
        """All facts of the model."""
        return self._manifest

    @property
    def graph(self) -> StreamingGraph:
        """The network, for whoever measures its steps."""
        return self._acoustic.graph

    def process(self, frames: Frames) -> list[Event]:
        """Hear ``[n, n_bands]`` frames, n of any size; see `Task.process`."""
        self._time.n_frames += len(frames)
        events: list[Event] = []
        self._hear(self._acoustic.process(frames), events)
        return events

    def flush(self) -> list[Event]:
        """End the caption that has begun, if one has: the stream has ended.

        Positions stay inside what was really heard. Afterwards only `reset` makes sense.
        """
        events: list[Event] = []
        self._hear(self._acoustic.flush(), events)
        if self._speaking:
            caption = self._end()
            events += [] if caption is None else [caption]
        return events

    def reset(self, at_sample: int = 0) -> None:
        """Forget everything heard; the next frame begins at the absolute sample `at_sample`."""
        self._acoustic.reset()
        self._decoder.reset()
        self._writer.begin()
        self._time.reset(at_sample)
        self._n_rows = 0
        self._speaking = False

    def shed(self, level: int) -> None:
        """Do less work: without the first `level` of the measures.

        Takes effect at once. To be called from the thread that calls `process`.
        """
        without = self._measures[:level]
        self._tentative = "tentative_text" not in without
        if self._beam is not None:
            narrow = "search_width" in without
            self._beam.beam_width = max(1, self._beam_width // _NARROW) if narrow else self._beam_width

    def _warm_up(self) -> None:
        """Read something, so that nothing compiles while somebody speaks."""
        spec = self._acoustic.spec
        n_frames = self._acoustic.chunk_frames * self._acoustic.frame_samples // spec.hop_samples
        self._acoustic.process(np.zeros((n_frames, spec.n_bands), np.float32))
        self._decoder.reset()
        self._decoder.process(np.full((self._piece, self._rows.shape[1]), -4.0, np.float32))
        self._decoder.hypothesis()
        self._decoder.flush()

    def _hear(self, log_probs: LogProbs, events: list[Event]) -> None:
        """Decide about output frames in pieces of one length, however they are delivered."""
        chunk = self._acoustic.chunk_frames
        for at in range(0, len(log_probs), chunk):
            for start in range(at, at + chunk, self._piece):
                caption = self._hear_piece(log_probs[start : min(start + self._piece, at + chunk)])
                if caption is not None:
                    events.append(caption)

    def _hear_piece(self, log_probs: LogProbs) -> Caption | None:
        if not self._speaking and self._n_rows > self._n_before:
            self._forget_rows(self._n_rows - self._n_before)
        self._rows[self._n_rows : self._n_rows + len(log_probs)] = log_probs
        self._n_rows += len(log_probs)
        self._time.n_decided += len(log_probs)
        if self._speaking:
            self._decoder.process(log_probs)
        elif log_probs[:, self._acoustic.blank].min() < _ACTIVE:
            self._speaking = True
            self._decoder.process(self._rows[: self._n_rows])
        else:
            return None
        found = self._decoder.hypothesis()
        text = " ".join([*(word.text for word in found.words), found.partial]).rstrip()
        ending = self._endpoint.decide(
            text, quiet_s=found.quiet_frames * self._frame_s, length_s=self._n_rows * self._frame_s
        )
        if ending is None:
            return self._grow(found)
        if ending == "length" and self._writer.n_words:
            return self._cut(found)
        return self._end()

    def _grow(self, found: Hypothesis) -> Caption | None:
        """Commit what is certain or old enough."""
        n_old = found.stable
        for word in found.words[found.stable :]:
            if self._time.decided - self._spoken(word.end_frame) < self._commit_samples:
                break
            n_old += 1
        if n_old > found.stable:
            self._decoder.commit(n_old)
            found = self._decoder.hypothesis()  # those that decide only at the end have not committed it
        return self._writer.update(
            found, self._time.needed, tentative=self._tentative and not self._grammar_decides
        )

    def _end(self) -> Caption | None:
        """Say the last word about this caption, and wait for the next."""
        found = self._decoder.flush()
        caption = self._writer.finish(found, len(found.words), self._time.needed)
        self._decoder.reset()
        self._speaking = False
        self._forget_rows(self._n_rows - min(self._n_rows, self._n_before, found.quiet_frames))
        return caption

    def _cut(self, found: Hypothesis) -> Caption | None:
        """End a caption that has become too long behind its last committed word.

        What follows this word is decoded anew, as the beginning of the next caption.
        """
        n = self._writer.n_words
        behind = found.words[n - 1].end_frame
        until = found.words[n].start_frame if n < len(found.words) else self._n_rows
        caption = self._writer.finish(found, n, self._time.needed)
        # Half-way, since tokens are short and the sounds around them are not.
        self._forget_rows(min(behind + (until - behind + 1) // 2, self._n_rows))
        self._decoder.reset()
        self._decoder.process(self._rows[: self._n_rows])
        return caption

    def _forget_rows(self, n: int) -> None:
        kept = self._n_rows - n
        self._rows[:kept] = self._rows[n : self._n_rows]
        self._n_rows = kept

    def _is_credible(self, found: Hypothesis) -> bool:
        if self._grammar_decides:
            return bool(found.words)
        return is_credible(self._rows[: self._n_rows], self._acoustic.blank, found.words)

    def _spoken(self, frame: int) -> int:
        """Absolute sample of the decoder's output frame `frame`."""
        return self._time.spoken(self._time.n_decided - self._n_rows + frame)
