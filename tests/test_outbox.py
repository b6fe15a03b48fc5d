"""The queue to the caller: bounded, counted, and no text is lost in it."""

from __future__ import annotations

import threading

from edgeaudio.events import Caption, CaptionWord, Detection, Gap, SoundStart, SpeechStart
from edgeaudio.outbox import Outbox


def detection(k):
    return Detection(
        model="m",
        name=f"word {k}",
        score=1.0,
        start_sample=0,
        end_sample=k,
        snr_db=None,
        level_dbfs=-20.0,
        latency_s=0.0,
    )


def caption(caption_id, n_words, *, final=False):
    words = tuple(
        CaptionWord(text=f"w{k}", start_sample=k, end_sample=k, confidence=1.0) for k in range(n_words)
    )
    return Caption(
        model="m",
        caption_id=caption_id,
        words=words,
        tentative="" if final else "maybe",
        final=final,
        start_sample=0,
        end_sample=n_words,
        latency_s=0.0,
    )


def all_of(outbox):
    outbox.close()
    return list(iter(outbox.get, None))


def put(outbox, *events):
    for event in events:
        outbox.put(event)


def test_events_come_in_order_and_end_for_good():
    outbox = Outbox(10)
    events = [detection(1), caption(0, 1), caption(0, 2, final=True), detection(2)]
    put(outbox, *events)
    assert all_of(outbox) == events
    assert outbox.get() is None
    assert (outbox.accepted, outbox.dropped) == (4, 0)


def test_a_slow_caller_sees_captions_grow_in_larger_steps():
    outbox = Outbox(3)
    put(outbox, *(caption(0, k) for k in range(1, 9)), caption(0, 9, final=True))
    put(outbox, *(caption(1, k) for k in range(1, 5)))
    assert all_of(outbox) == [caption(0, 9, final=True), caption(1, 3), caption(1, 4)]
    assert (outbox.accepted, outbox.dropped) == (3, 10)


def test_final_captions_are_kept_where_detections_fill_every_place():
    outbox = Outbox(3)
    put(outbox, *(detection(k) for k in range(5)))
    put(outbox, caption(0, 1), caption(0, 2, final=True), caption(1, 1))
    assert all_of(outbox) == [detection(0), detection(1), detection(2), caption(0, 2, final=True)]
    assert (outbox.accepted, outbox.dropped) == (4, 4)


def test_the_news_of_a_loss_has_room_beside_any_number_of_sounds_and_speech():
    outbox = Outbox(2)
    sound = SoundStart(model="m", name="rain", score=1.0, start_sample=0, end_sample=9, latency_s=0.0)
    speech = SpeechStart(model="m", score=1.0, start_sample=0, end_sample=9, latency_s=0.0)
    gap = Gap(start_sample=0, n_samples=9, cause="ring_full")
    put(outbox, sound, speech, sound, speech, gap)
    assert all_of(outbox) == [sound, speech, gap]


def test_a_detection_takes_the_place_of_unfinished_text():
    outbox = Outbox(2)
    put(outbox, caption(0, 1), caption(0, 2), detection(1))
    assert all_of(outbox) == [caption(0, 2), detection(1)]


def test_it_never_grows_without_bound():
    outbox = Outbox(3)
    put(outbox, *(caption(k, 1, final=True) for k in range(200)))
    put(outbox, *(Gap(start_sample=0, n_samples=1, cause="ring_full") for _ in range(200)))
    assert len(all_of(outbox)) == outbox.accepted == 3 + 64
    assert outbox.dropped == 400 - 67


def test_a_waiting_caller_is_woken_by_an_event_and_by_the_end():
    outbox = Outbox(3)
    got = []
    caller = threading.Thread(target=lambda: got.extend(iter(outbox.get, None)))
    caller.start()
    outbox.put(detection(1))
    outbox.close()
    caller.join(10)
    assert got == [detection(1)]
