"""Maps that are true: they lie where the word is, change with the weights, and what they show is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edgeaudio.errors import InputError, ModelError, UsageError
from edgeaudio.explaining import explanation as module
from edgeaudio.explaining.bands import band_edges_hz
from edgeaudio.explaining.explanation import Explanation, explain
from edgeaudio.explaining.gradients import Array
from edgeaudio.explaining.network import read_network
from edgeaudio.explaining.saliency import integrated_gradients
from edgeaudio.explaining.view import View, sentences
from edgeaudio.frontend import FrontendSpec
from edgeaudio.models.bundle import Bundle, load_bundle
from edgeaudio.models.catalogue import find_model
from edgeaudio.models.manifest import Activity
from edgeaudio.training.graph import Add, Conv
from edgeaudio.types import Samples
from tests.explaining.conftest import FROM_S, TO_S, WORD


def within(explanation: Explanation, start_s: float, end_s: float) -> float:
    """Part of the saliency that lies between two seconds."""
    heard, first = explanation.heard, explanation.question.first
    seconds = np.array([heard.frame_s(first + i + 0.5) for i in range(len(explanation.saliency))])
    return float(explanation.saliency[(seconds >= start_s) & (seconds <= end_s)].sum())


def test_gradients_lie_in_the_word(explained: Explanation) -> None:
    assert (explained.question.label, explained.method, explained.told is not None) == (
        WORD,
        "gradients",
        True,
    )
    # A window reaches 12 ms beyond its frame's middle, and so far is evened out, too.
    assert within(explained, FROM_S - 0.05, TO_S + 0.05) > 0.9
    # The stretch is twice as long as the word: nowhere near as much would lie there by chance.
    assert len(explained.saliency) * 0.01 > 1.9 * (TO_S - FROM_S)
    assert explained.mattered is not None
    assert FROM_S - 0.05 < explained.mattered.start_s < explained.mattered.end_s < TO_S + 0.05
    assert explained.mattered.share >= 0.6


def test_the_posteriors_explained_are_the_runtimes(explained: Explanation) -> None:
    # Ties that a runtime rounds otherwise move a posterior by a little.
    assert explained.difference is not None
    assert explained.difference < 0.05
    # And the stretch alone gives the score of the whole stream.
    question = explained.question
    assert question.score_of(question.frames) == pytest.approx(question.score, abs=1e-6)


def test_what_is_salient_is_needed(explained: Explanation) -> None:
    judged = explained.deletion
    assert explained.faithful
    assert judged.salient < 0.2 * explained.question.score
    assert judged.salient < judged.elsewhere - 0.2


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_other_methods_lie_in_the_word_too(method: module.Method, in_noise: Samples, wake: Bundle) -> None:
    found = explain(in_noise, wake, method=method)
    # Grad-CAM's places are as long as what the inner layer has heard, up to a quarter of a second.
    assert within(found, FROM_S - 0.1, TO_S + 0.1) > 0.8
    assert found.faithful


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_a_model_of_the_waveform_says_seconds_only(method: module.Method, in_noise: Samples) -> None:
    raw = load_bundle(find_model("commands-12-raw"))
    found = explain(in_noise, raw, label="unknown", method=method)
    assert found.saliency.shape[1] == 1
    assert found.mattered is not None
    assert found.mattered.low_hz is None
    assert " Hz" not in " ".join(sentences(found))


def test_other_weights_give_another_map(explained: Explanation, wake: Bundle) -> None:
    # Adebayo et al. 2018: a map that stays when weights are drawn at random shows the sound, not the network.
    rng = np.random.default_rng(0)
    network = read_network(wake)

    def drawn(node: Conv | Add) -> Conv | Add:
        if not isinstance(node, Conv):
            return node
        return replace(node, weight=rng.permutation(node.weight.ravel()).reshape(node.weight.shape))

    random = replace(network, graph=replace(network.graph, nodes=tuple(map(drawn, network.graph.nodes))))
    question = explained.question
    # In the word only: beside it there is nothing to hear, and both are nearly zero. With their signs: both
    # are multiplied by the same sound, whose outline stays.
    word = slice(round(100 * FROM_S) - question.first, round(100 * TO_S) - question.first)
    original = integrated_gradients(question, network)[word]
    assert abs(correlation(original, integrated_gradients(question, random)[word])) < 0.2
    # The measure itself: the same map evened out is the same map.
    assert correlation(original, module._evened(original)) > 0.8


def correlation(first: Array, second: Array) -> float:
    """Spearman's, between maps."""
    ranks = [np.argsort(np.argsort(x, axis=None)) for x in (first, second)]
    return float(np.corrcoef(ranks)[0, 1])


def test_without_gradients_it_hides_patches(in_noise: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(bundle: Bundle) -> None:
        raise ModelError("it has a strange operator")

    monkeypatch.setattr(module, "read_network", unknown)
    raw = load_bundle(find_model("commands-12-raw"))
    found = explain(in_noise, raw)
    assert (found.method, found.why_occlusion) == ("occlusion", "it has a strange operator")
    assert any("strange operator" in sentence for sentence in sentences(found))
    with pytest.raises(ModelError, match="strange"):
        explain(in_noise, raw, method="gradients")


def test_a_model_of_stretches_tells_from_when_to_when(in_noise: Samples, wake: Bundle) -> None:
    activity = Activity(threshold=0.5, smoothing_ms=60.0, silent_labels=("unknown", "silence"))
    sounds = msgspec.structs.replace(wake.manifest, kind="sounds", decision=None, activity=activity)
    found = explain(in_noise, Bundle(wake.path, sounds), method="grad-cam")
    [told] = found.heard.told
    assert told.label == WORD
    # Where a stretch begins and ends is told without the smoothing's delay, as it is live.
    assert FROM_S < told.start_s < told.end_s < 3.0
    assert told.start_s < found.question.at_s < told.end_s + 0.1
    assert found.told == told
    assert found.heard.threshold(WORD) == 0.5


def test_labels_and_seconds_that_there_are_not(in_noise: Samples, wake: Bundle) -> None:
    with pytest.raises(UsageError, match="no label 'compute'") as caught:
        explain(in_noise, wake, label="compute")
    assert "Did you mean 'computer'?" in str(caught.value)
    with pytest.raises(UsageError, match=r"4 s is not in the recording, which lasts 3\.00 s"):
        explain(in_noise, wake, at_s=4.0)
    with pytest.raises(InputError, match="100 samples"):
        explain(in_noise[:100], wake)


def test_only_models_with_scores_are_explained(in_noise: Samples) -> None:
    with pytest.raises(ModelError, match="makes captions; only models that give each label a score"):
        explain(in_noise, load_bundle(find_model("captions-en-small")))


def test_a_second_chooses_the_peak(in_noise: Samples) -> None:
    # The raw model is the quicker one.
    raw = load_bundle(find_model("commands-12-raw"))
    early = explain(in_noise, raw, label="silence", at_s=0.5, method="grad-cam")
    assert 0.2 <= early.question.at_s <= 1.5
    # No word is told for silence, whatever its score.
    assert early.told is None
    assert sentences(early)[0].startswith("commands-12-raw never tells 'silence'")


def test_what_is_absent_is_not_claimed(in_noise: Samples, wake: Bundle) -> None:
    # Silence rests on what is not there: hiding any of it changes nothing, and that is said.
    found = explain(in_noise[: round(1.4 * 16_000)], wake, label="silence")
    assert found.question.score > 0.5
    assert not found.faithful
    assert any("not in this map" in sentence for sentence in sentences(found))


@pytest.mark.parametrize(
    ("weights", "piece"),
    [([0, 0, 1, 0], (2, 3)), ([1, 1, 1, 1], (0, 4)), ([3, 1, 0, 10, 10, 0], (3, 5)), ([1.0], (0, 1))],
)
def test_the_narrowest_piece_holds_most(weights: Sequence[float], piece: tuple[int, int]) -> None:
    found = module._narrowest(np.array(weights, np.float64))
    assert found == piece
    assert sum(weights[slice(*found)]) >= 0.8 * sum(weights)


def test_bands_begin_and_end_where_the_filterbank_does() -> None:
    spec = FrontendSpec(fmin_hz=60.0, fmax_hz=7600.0)
    edges = band_edges_hz(spec)
    assert edges is not None
    assert edges[0] > 60.0
    assert edges[-1] < 7600.0
    # The filter of each band is highest within it, but where no bin of 31 Hz is.
    peaks_hz = spec.mel_weights().argmax(axis=1) * spec.sample_rate_hz / spec.n_fft
    near = (peaks_hz >= edges[:-1] - 16) & (peaks_hz <= edges[1:] + 16)
    assert near.all()
    assert band_edges_hz(FrontendSpec(features="mfcc")) is None


def test_a_long_recording_is_shown_close_and_in_part(wake: Bundle, in_noise: Samples) -> None:
    quiet = 1e-3 * np.random.default_rng(1).standard_normal(90 * 16_000)
    view = View(explain(np.concatenate([quiet.astype(np.float32), in_noise]), wake, method="grad-cam"))
    assert view.has_whole
    assert view.whole.end_s - view.whole.start_s == pytest.approx(60.0)
    assert view.close.end_s - view.close.start_s == pytest.approx(2.5)
    at_s = view.explanation.question.at_s
    assert 91.5 < at_s < 93.0
    assert view.close.holds(at_s)
    assert view.whole.holds(at_s)
    assert [one.label for one in view.told(view.close)] == [WORD]
