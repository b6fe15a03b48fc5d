"""An explanation as a PNG file, drawn by matplotlib."""

from __future__ import annotations

import io
import textwrap
from typing import Any

import numpy as np

from edgeaudio.errors import MissingDependencyError
from edgeaudio.explaining.colours import HEAT, SOUND, coloured, heated
from edgeaudio.explaining.explanation import Explanation
from edgeaudio.explaining.view import Span, View, sentences

__all__ = ["picture"]

_INK, _DIM, _LINE, _SCORE, _MARK, _LIMIT = "#191917", "#5c5c56", "#dddcd5", "#0b6bb0", "#b0256f", "#b03a00"
_GROUND, _SHADE = "#fdfdfb", "#efece3"
_DPI = 120


def picture(explanation: Explanation) -> bytes:
    """Draw waveform, spectrogram, saliency and score, and return the PNG file.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    try:
        # Figure alone, without pyplot: nothing global, and no display is looked for.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "drawing a PNG needs matplotlib; a page (.html) does not", hint='pip install "edgeaudio[report]"'
        ) from error
    view = View(explanation)
    heights = {"waveform": 1.0, "saliency": 2.2 if view.is_spectral else 1.1, "score": 1.5}
    if view.is_spectral:
        heights = {"waveform": 1.0, "sound": 2.2, **{k: h for k, h in heights.items() if k != "waveform"}}
    if view.has_whole:
        heights["whole"] = 0.9
    figure = Figure(
        figsize=(10.0, 1.3 + 1.15 * sum(heights.values())), layout="constrained", facecolor=_GROUND
    )
    all_axes = figure.subplots(len(heights), 1, height_ratios=list(heights.values()), squeeze=False)[:, 0]
    for name, axes in zip(heights, all_axes, strict=True):
        _DRAWERS[name](axes, view)
        if name not in {"score", "whole"}:  # all of the close-up share the score's seconds
            axes.tick_params(labelbottom=False)
    _title(figure, view)
    written = io.BytesIO()
    words = " ".join(sentences(explanation))
    figure.savefig(written, format="png", dpi=_DPI, metadata={"Description": words, "Software": "edgeaudio"})
    return written.getvalue()


def _title(figure: Any, view: View) -> None:
    explanation = view.explanation
    # One behind the other: matplotlib would read a $ in a file's name as the begin of a formula.
    said = textwrap.fill(" ".join(sentences(explanation)), 150)
    heading = f"Why '{explanation.question.label}'?  {explanation.clip}, {explanation.heard.manifest.name}"
    figure.suptitle(heading, x=0.012, ha="left", fontsize=13, fontweight="bold", color=_INK, parse_math=False)
    figure.supxlabel(said, x=0.012, ha="left", fontsize=9.5, color=_INK, parse_math=False)


def _prepare(axes: Any, view: View, title: str, span: Span | None = None) -> None:
    span = span or view.close
    axes.set_xlim(span.start_s, span.end_s)
    axes.set_title(title, loc="left", fontsize=9.5, color=_DIM, pad=3, parse_math=False)
    axes.tick_params(labelsize=8.5, colors=_DIM, length=3)
    axes.set_facecolor(_GROUND)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)


def _waveform(axes: Any, view: View) -> None:
    _prepare(axes, view, "waveform")
    lows, highs = view.waveform()
    seconds = np.linspace(view.close.start_s, view.close.end_s, len(lows))
    axes.fill_between(seconds, lows, highs, color=_DIM, linewidth=0.4)
    most = max(0.02, float(np.abs([lows, highs]).max()))
    axes.set_ylim(-1.1 * most, 1.1 * most)
    _moments(axes, view)


def _sound(axes: Any, view: View) -> None:
    _prepare(axes, view, "what the model hears: its own frames, lighter is louder")
    _image(axes, view, coloured(view.loudness(), SOUND))
    _moments(axes, view, light=True)


def _saliency(axes: Any, view: View) -> None:
    label = view.explanation.question.label
    if not view.is_spectral:
        _prepare(axes, view, f"what spoke for '{label}': the higher, the more; shaded: most of it")
        values = view.saliency()[0]
        span = view.image_span
        edges = np.linspace(span.start_s, span.end_s, len(values) + 1)
        axes.stairs(values, edges, fill=True, color=HEAT[1])
        axes.set_ylim(0, 1.08)
        axes.set_yticks([])
        mattered = view.explanation.mattered
        if mattered is not None:
            axes.axvspan(mattered.start_s, mattered.end_s, color=_SHADE, zorder=0)
        _moments(axes, view)
        return
    _prepare(axes, view, f"what spoke for '{label}': the lighter, the more; the frame holds most of it")
    _image(axes, view, heated(view.loudness(), view.saliency()))
    mattered, box = view.explanation.mattered, view.box()
    if mattered is not None and box is not None:
        xs, ys = (mattered.start_s, mattered.end_s), box
        corners = ([xs[0], xs[1], xs[1], xs[0], xs[0]], [ys[0], ys[0], ys[1], ys[1], ys[0]])
        axes.plot(*corners, color="white", linewidth=1.3, linestyle=(0, (4, 2)))
    _moments(axes, view, light=True)


def _image(axes: Any, view: View, image: Any) -> None:
    span = view.image_span
    n_bands = len(image)
    extent = (span.start_s, span.end_s, 0, n_bands)
    axes.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="bilinear")
    axes.set_xlim(view.close.start_s, view.close.end_s)
    ticks = view.ticks()
    axes.set_yticks(list(ticks), list(ticks.values()))
    if not ticks:
        axes.set_ylabel("coefficient", fontsize=8.5, color=_DIM)


def _moments(axes: Any, view: View, *, light: bool = False) -> None:
    """Mark the moment that is explained."""
    at_s = view.explanation.question.at_s
    axes.axvline(at_s, color="white" if light else _INK, linewidth=1, linestyle=(0, (1, 2)))


def _score(axes: Any, view: View) -> None:
    label = view.explanation.question.label
    _prepare(axes, view, f"score of '{label}'; ▼ what was told, dotted: the moment that is explained")
    _draw_scores(axes, view, view.close)
    axes.set_xlabel("seconds", fontsize=8.5, color=_DIM, loc="right", labelpad=1)
    _moments(axes, view)


def _whole(axes: Any, view: View) -> None:
    span = view.whole
    shown = "minute around it" if span.end_s - span.start_s < view.end_s - 0.01 else "recording"
    _prepare(axes, view, f"the same over the {shown}; shaded: what is above", span)
    axes.axvspan(view.close.start_s, view.close.end_s, color=_SHADE, zorder=0)
    _draw_scores(axes, view, span, names=False)


def _draw_scores(axes: Any, view: View, span: Span, *, names: bool = True) -> None:
    seconds, scores = zip(*view.scores(span), strict=True)
    axes.plot(seconds, scores, color=_SCORE, linewidth=1.6)
    axes.fill_between(seconds, scores, color=_SCORE, alpha=0.12, linewidth=0)
    axes.set_ylim(0, 1.35 if names else 1.15)
    axes.set_yticks([0, 0.5, 1])
    threshold = view.explanation.heard.threshold(view.explanation.question.label)
    if threshold is not None:
        axes.axhline(threshold, color=_LIMIT, linewidth=1, linestyle=(0, (6, 4)))
        if names:
            at = (span.start_s + 0.004 * (span.end_s - span.start_s), threshold)
            axes.annotate(
                f"threshold {threshold:.2f}", at, (0, 2), textcoords="offset points", fontsize=8, color=_LIMIT
            )
    for one in view.told(span):
        start_s, end_s = max(one.start_s, span.start_s), min(one.end_s, span.end_s)
        axes.plot([start_s, end_s], [1.06, 1.06], color=_MARK, linewidth=2)
        if span.holds(one.start_s):
            axes.plot([one.start_s], [1.06], marker="v", color=_MARK, markersize=6, clip_on=False)
        if names:
            # A stretch has its line beside the mark.
            beside = (0, 6) if one.end_s > one.start_s else (6, -3)
            style = {"fontsize": 8.5, "color": _MARK, "parse_math": False}
            axes.annotate(one.label, (start_s, 1.06), beside, textcoords="offset points", **style)


_DRAWERS = {"waveform": _waveform, "sound": _sound, "saliency": _saliency, "score": _score, "whole": _whole}
