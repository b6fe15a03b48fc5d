"""Festival with its two diphone voices and one statistical voice of American English."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from edgeaudio.training.voices.engine import Spoken, Utterance, missing, output, read

__all__ = ["Festival"]


class Festival:
    """Festival: one process for a hundred utterances; its tokens carry their times."""

    name = "festival"
    install = "apt-get install festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts"
    marks_words = True
    known: tuple[str, ...] = ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")

    BATCH = 100
    # Mean and spread of the pitch, Hz, that the diphone voices declare; slt (HTS) cannot be asked.
    PITCH: ClassVar = {"kal_diphone": (105, 14), "ked_diphone": (105, 15)}

    PRELUDE = """
(defvar hts_engine_params nil)
(define (ea_pitch mean spread)
  (set! int_lr_params (list (list 'target_f0_mean mean) (list 'target_f0_std spread)
                            (list 'model_f0_mean 170) (list 'model_f0_std 34))))
(define (ea_hts_rate rate)
  (set! hts_engine_params (append hts_engine_params (list (list "-r" rate)))))
(define (ea_say number text path)
  (let ((utt (utt.synth (eval (list 'Utterance 'Text text)))))
    (let ((token (utt.relation.first utt 'Token)))
      (while token
        (format t "token %d %f %f\\n" number
                (item.feat token "daughter1.word_start") (item.feat token "daughtern.word_end"))
        (set! token (item.next token))))
    (utt.save.wave utt path 'riff)))
"""

    @cached_property
    def voices(self) -> tuple[str, ...]:
        """Installed ones among the voices that the adapter knows how to steer."""
        if shutil.which("festival") is None:
            return ()
        listed = output(["festival", "-b", "(print (voice.list))"]).decode().strip().strip("()").split()
        return tuple(voice for voice in self.known if voice in listed)

    def say(self, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
        """See :meth:`Engine.say`."""
        if not self.voices:
            raise missing(self)
        for i in range(0, len(utterances), self.BATCH):
            with tempfile.TemporaryDirectory() as folder:
                yield from self._batch(utterances[i : i + self.BATCH], Path(folder))

    def _batch(self, utterances: Sequence[Utterance], folder: Path) -> Iterator[Spoken | None]:
        lines = [self.PRELUDE]
        for i, utterance in enumerate(utterances):
            lines.append(f"(voice_{utterance.voice})")
            lines.append(self._settings(utterance))
            lines.append(f'(ea_say {i} "{utterance.text}" "{folder / str(i)}.wav")')
        script = folder / "batch.scm"
        script.write_text("\n".join(lines), encoding="ascii")
        tokens: list[list[tuple[float, float]]] = [[] for _ in utterances]
        for line in output(["festival", "-b", str(script)]).decode().splitlines():
            if line.startswith("token "):
                _, number, start, end = line.split()
                tokens[int(number)].append((float(start), float(end)))
        for i, utterance in enumerate(utterances):
            path = folder / f"{i}.wav"
            yield _cut(path, utterance, tokens[i]) if path.exists() else None

    def _settings(self, utterance: Utterance) -> str:
        if utterance.voice not in self.PITCH:
            return f"(ea_hts_rate {utterance.rate:.4f})"
        mean, spread = (value * utterance.pitch for value in self.PITCH[utterance.voice])
        return (
            f"(Param.set 'Duration_Stretch {1 / utterance.rate:.4f}) "
            f"(ea_pitch {mean:.2f} {spread * utterance.range:.2f})"
        )


def _cut(path: Path, utterance: Utterance, tokens: list[tuple[float, float]]) -> Spoken | None:
    samples, rate = read(path)
    first, after = utterance.tokens
    if len(tokens) != len(utterance.text.split()):
        return None
    start, end = round(tokens[first][0] * rate), round(tokens[after - 1][1] * rate)
    if not 0 <= start < end:
        return None
    return Spoken(samples, rate, start, min(end, samples.size))
