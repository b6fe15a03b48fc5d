"""An explanation as one page: no scripts, nothing from the network, in words as well as in pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np

from edgeaudio.explaining.bands import hz_said
from edgeaudio.explaining.colours import HEAT, SOUND, Image, coloured, heated, png
from edgeaudio.explaining.explanation import Explanation
from edgeaudio.explaining.view import Span, View, method_said, score_said, sentences
from edgeaudio.profiling.charts import Axis, Mark, Plot
from edgeaudio.profiling.markup import Html, document, facts, figure_cell, join, name_cell, table, tag
from edgeaudio.types import SAMPLE_RATE_HZ

__all__ = ["page"]

_STYLE = """
image { image-rendering: auto; }
.frame { fill: none; stroke: #fff; stroke-width: 1.5px; stroke-dasharray: 6 4; }
.shade { fill: var(--panel); }
.moment { stroke: var(--text); stroke-dasharray: 1 3; stroke-width: 1.5px; }
.on-image .moment { stroke: #fff; }
.told { --c: var(--event); }
.score { --c: var(--frontend); }
.wave { --c: var(--ring); }
.heat { --c: #f0703c; }
.ramp { display: inline-block; width: 9rem; height: .7rem; margin: 0 .4rem; border-radius: .15rem; }
ul.said { margin: .6rem 0 0; padding-left: 1.1rem; max-width: 46rem; }
"""
_TRIANGLE = "M0 -2l-5 -9h10z"
_WAVE, _IMAGE, _SCORE, _WHOLE = 90, 200, 130, 80
_MARKED = 200
"""Detections marked in one picture."""
_METHOD = {
    "gradients": "what each value of each frame adds to the score on the way from the background "
    "to what was heard",
    "grad-cam": "what speaks for the label in an inner layer of the network, drawn where that layer heard it",
    "occlusion": "how far the score falls when a patch is made to sound like the background",
}
_LIMITS = (
    "A map shows what this score of this model came from. It does not show that the model is right, nor what "
    "it would do elsewhere; small differences between bright and less bright spots mean nothing."
)


def page(explanation: Explanation) -> str:
    """Return the page; it needs no other file."""
    view = View(explanation)
    question = explanation.question
    heading = f"Why '{question.label}'?"
    parts = (
        tag("h1", heading),
        tag("p", f"{explanation.clip} · {explanation.heard.manifest.name}", class_="facts"),
        _said(explanation),
        tag("h2", "The moment"),
        _waveform(view),
        *((_sound(view),) if view.is_spectral else ()),
        _saliency(view),
        _score(view),
        *((tag("h2", "The recording"), _whole(view)) if view.has_whole else ()),
        tag("h2", "In figures"),
        _scores(explanation),
        _deletions(explanation),
        _told(view),
        tag("h2", "How it was found"),
        _facts(explanation),
        tag("p", _LIMITS, class_="note"),
    )
    return document(f"{heading} {explanation.clip}", *parts, style=_STYLE, images=True)


def _said(explanation: Explanation) -> Html:
    first, *others = sentences(explanation)
    told = explanation.told is not None
    points = (tag("li", sentence) for sentence in others)
    return join(
        (
            tag(
                "p", *((tag("b", "✓ "),) if told else ()), first, class_="verdict good" if told else "verdict"
            ),
            tag("ul", *points, class_="said"),
        )
    )


def _waveform(view: View) -> Html:
    lows, highs = view.waveform()
    most = max(0.02, float(np.abs([lows, highs]).max()))
    plot = Plot(_axis(view.close), Axis(-1.1 * most, 1.1 * most), _WAVE)
    # A step that is as low as it is high would not be seen.
    thin = 0.004 * most
    drawn = plot.area(lows - thin, highs + thin, "wave")
    words = f"From {view.close.start_s:.2f} s to {view.close.end_s:.2f} s, at most {most:.2f} of full scale."
    return _figure("Waveform", _framed(plot, "Waveform", words, drawn, _moment(view, plot), named={0.0: "0"}))


def _sound(view: View) -> Html:
    plot, picture = _image(view, coloured(view.loudness(), SOUND))
    words = "Loudness over time and frequency, as the model hears it."
    drawn = _framed(plot, "Spectrogram", words, picture, _moment(view, plot), named=view.ticks())
    key = (": its own frames; quiet ", _ramp(SOUND), " loud")
    return _figure("What the model hears", drawn, *key, on_image=True)


def _saliency(view: View) -> Html:
    label, mattered = view.explanation.question.label, view.explanation.mattered
    title = f"What spoke for '{label}'"
    words = "None." if mattered is None else f"Most of it lies from {mattered.said}."
    if not view.is_spectral:
        plot = Plot(_axis(view.close), Axis(0.0, 1.1), _WAVE)
        held = None if mattered is None else Span(mattered.start_s, mattered.end_s)
        parts = (_shade(plot, held), _bars(view, plot))
        drawn = _framed(plot, title, words, *parts, _moment(view, plot), named={0.0: "none", 1.0: "most"})
        return _figure(title, drawn, "; the shaded seconds hold most of it")
    plot, picture = _image(view, heated(view.loudness(), view.saliency()))
    frame = Html()
    box = view.box()
    if mattered is not None and box is not None:
        left, right = plot.x.at(mattered.start_s), plot.x.at(mattered.end_s)
        top, bottom = (plot.height * (1 - plot.y.at(band)) for band in reversed(box))
        frame = tag(
            "rect", x=_share(left), width=_share(right - left), y=top, height=bottom - top, class_="frame"
        )
    drawn = _framed(plot, title, words, picture, frame, _moment(view, plot), named=view.ticks())
    key = ("; the frame holds most of it; little ", _ramp(HEAT), " much")
    return _figure(title, drawn, *key, on_image=True)


def _score(view: View) -> Html:
    plot = Plot(_axis(view.close), Axis(0.0, 1.35), _SCORE)
    drawn = _scored(view, plot, view.close, _moment(view, plot), names=True)
    more = "; ▼ what the model told. A score is known after what it is about."
    return _figure(f"Score of '{view.explanation.question.label}'", drawn, more)


def _whole(view: View) -> Html:
    plot = Plot(_axis(view.whole), Axis(0.0, 1.35), _WHOLE)
    drawn = _scored(view, plot, view.whole, _shade(plot, view.close), names=False)
    shown = (
        "the minute around it" if view.whole.end_s - view.whole.start_s < view.end_s - 0.01 else "all of it"
    )
    return _figure("The same score", drawn, f", {shown}; shaded: what is drawn above")


def _scored(view: View, plot: Plot, span: Span, under: Html, *, names: bool) -> Html:
    explanation = view.explanation
    label = explanation.question.label
    threshold = explanation.heard.threshold(label)
    scores = view.scores(span)
    highest = max(score for _, score in scores)
    told = view.told(span)[:_MARKED]
    marks = [
        Mark(
            max(one.start_s, span.start_s),
            1.08,
            f"{one.label} {one.score:.2f} at {one.start_s:.2f} s",
            one.label * names,
        )
        for one in told
    ]
    lasting = [
        plot.line([(one.start_s, 1.08), (one.end_s, 1.08)], "told") for one in told if one.end_s > one.start_s
    ]
    limit = Html() if threshold is None else plot.limit(threshold, f"threshold {threshold:.2f}" * names)
    words = f"At most {highest:.2f}; told: {', '.join(one.label for one in told) or 'nothing'}."
    return _framed(
        plot,
        f"Score of '{label}' over time",
        words,
        under,
        plot.line(scores, "score"),
        limit,
        *lasting,
        plot.marks(marks, _TRIANGLE, "told"),
        named={0.0: "0", 0.5: "0.5", 1.0: "1"},
    )


def _bars(view: View, plot: Plot) -> Html:
    """Draw saliency over time, frame by frame."""
    values, span = view.saliency()[0], view.image_span
    seconds = np.linspace(span.start_s, span.end_s, len(values) + 1)
    inside = (seconds[:-1] >= plot.x.least) & (seconds[1:] <= plot.x.most)
    # Steps of one width over the whole picture, as an area has them.
    columns = np.linspace(plot.x.least, plot.x.most, 600, endpoint=False)
    places = np.clip(np.searchsorted(seconds, columns, side="right") - 1, 0, len(values) - 1)
    heights = np.where(inside[places], values[places], 0.0)
    return plot.area(np.zeros(600), heights, "heat")


def _image(view: View, image: Image) -> tuple[Plot, Html]:
    """Return a plot of the bands, and the image in it, whose first row is the lowest band."""
    plot = Plot(_axis(view.close), Axis(0.0, float(len(image))), _IMAGE)
    span = view.image_span
    # Not by the axis, which ends where the close-up does: the image may reach a little beyond.
    length_s = plot.x.most - plot.x.least
    data = base64.b64encode(png(image[::-1])).decode()
    picture = tag(
        "image",
        href=f"data:image/png;base64,{data}",
        x=_share((span.start_s - plot.x.least) / length_s),
        width=_share((span.end_s - span.start_s) / length_s),
        y=0,
        height=plot.height,
        preserveAspectRatio="none",
    )
    # A frame of its own, so that what reaches beyond is cut off.
    whole = tag("svg", picture, width="100%", height=plot.height, style="overflow: hidden")
    return plot, whole


def _moment(view: View, plot: Plot) -> Html:
    along = _share(plot.x.at(view.explanation.question.at_s))
    return tag("line", x1=along, x2=along, y1=0, y2=plot.height, class_="moment")


def _shade(plot: Plot, span: Span | None) -> Html:
    if span is None:
        return Html()
    left, right = plot.x.at(span.start_s), plot.x.at(span.end_s)
    return tag("rect", x=_share(left), width=_share(right - left), y=0, height=plot.height, class_="shade")


def _framed(plot: Plot, title: str, words: str, *content: Html, named: dict[float, str]) -> Html:
    return plot.framed(title, words, *content, unit="", named=named or {0.0: ""})


def _figure(title: str, drawn: Html, *more: str, on_image: bool = False) -> Html:
    caption = tag("figcaption", tag("b", title), *more)
    return tag("figure", caption, drawn, class_="on-image" if on_image else None)


def _ramp(colours: tuple[str, ...]) -> Html:
    gradient = f"background: linear-gradient(to right, {', '.join(colours)})"
    return tag("span", class_="ramp", style=gradient, aria_hidden="true")


def _axis(span: Span) -> Axis:
    return Axis(span.start_s, span.end_s)


def _share(part: float) -> str:
    return f"{100 * part:.3f}%"


def _scores(explanation: Explanation) -> Html:
    header = ("label", "score then", "threshold")
    rows = []
    for label, score in explanation.ranking(6):
        threshold = explanation.heard.threshold(label)
        limit = "never told" if threshold is None else f"{threshold:.2f}"
        rows.append((name_cell(label), figure_cell(score_said(score)), figure_cell(limit)))
    at = f"The highest scores at {explanation.question.at_s:.2f} s."
    return join((tag("h3", at), table("Scores", header, rows, right=(1, 2), narrow=True)))


def _deletions(explanation: Explanation) -> Html:
    header = ("hidden", "the most salient", "as much elsewhere", "least of these")
    rows = [
        (
            name_cell(f"{100 * one.share:.0f} %"),
            *(figure_cell(score_said(score)) for score in (one.salient, one.elsewhere, one.least_elsewhere)),
        )
        for one in explanation.deletions
    ]
    note = "A map that is true lowers the score more where it is bright."
    return join(
        (
            tag("h3", "What is left of the score when parts sound like the background"),
            tag("p", note, class_="note"),
            table("Deletion", header, rows, right=(1, 2, 3), narrow=True),
        )
    )


def _told(view: View) -> Html:
    told = view.told(view.whole)
    if not told:
        return Html()
    # Words are told at a moment, other sounds for a while.
    lasting = any(one.end_s > one.start_s for one in told)
    header = ("label", "from", "to", "score") if lasting else ("label", "at", "score")
    rows = []
    for one in told[:_MARKED]:
        moments = (one.start_s, one.end_s) if lasting else (one.start_s,)
        figures = (*(f"{moment_s:.2f} s" for moment_s in moments), f"{one.score:.2f}")
        rows.append((name_cell(one.label), *map(figure_cell, figures)))
    right = range(1, len(header))
    return join((tag("h3", "What the model told"), table("Told", header, rows, right=right, narrow=True)))


def _facts(explanation: Explanation) -> Html:
    return facts(_named(explanation))


def _named(explanation: Explanation) -> Iterator[tuple[str, str]]:
    heard, question, mattered = explanation.heard, explanation.question, explanation.mattered
    manifest = heard.manifest
    yield "model", f"{manifest.name} {explanation.version}, run by {heard.runtime}"
    yield "recording", f"{explanation.clip}, {len(heard.samples) / SAMPLE_RATE_HZ:.2f} s"
    yield "method", f"{method_said(explanation)}: {_METHOD[explanation.method]}"
    stretch_s = len(question.weights) * manifest.stride * manifest.frontend.hop_ms / 1000
    smoothing = (
        f"{heard.smoothing_frames} output frames" if heard.smoothing_frames > 1 else "one output frame"
    )
    yield (
        "what is explained",
        f"mean of {smoothing} at {question.at_s:.2f} s, which depend on {stretch_s:.2f} s before",
    )
    if mattered is not None and mattered.low_hz is not None and mattered.high_hz is not None:
        yield "most salient bands", f"{hz_said(mattered.low_hz)} to {hz_said(mattered.high_hz)}"
    if explanation.difference is not None:
        yield "check", f"posteriors differ from the runtime's by at most {explanation.difference:.2g}"
