"""The prefix tree against dictionaries of dictionaries."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.decoding.trie import build_trie

ENTRIES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=30)


@settings(max_examples=60)
@given(ENTRIES, st.integers(0, 1000))
def test_every_entry_ends_where_its_tokens_lead(entries: list[list[int]], seed: int) -> None:
    score = np.random.default_rng(seed).normal(size=len(entries))
    offsets = np.concatenate(([0], np.cumsum([len(entry) for entry in entries])))
    trie = build_trie(np.concatenate(entries).astype(np.int32), offsets, score)
    prefixes = {tuple(entry[:n]) for entry in entries for n in range(len(entry) + 1)}
    assert len(trie.token) == len(prefixes)
    ended: list[int] = []
    spelled: dict[int, tuple[int, ...]] = {0: ()}
    for node in range(len(trie.token)):
        below = range(trie.first[node], trie.first[node + 1])
        for child in below:
            spelled[child] = (*spelled[node], int(trie.token[child]))
        tokens = [int(trie.token[child]) for child in below]
        assert tokens == sorted(set(tokens))
        here = trie.entry[trie.word_first[node] : trie.word_first[node + 1]].tolist()
        assert all(tuple(entries[entry]) == spelled[node] for entry in here)
        ended += here
        begun = [tuple(entry[: len(spelled[node])]) == spelled[node] for entry in entries]
        assert trie.best[node] == score[begun].max()
    assert sorted(ended) == list(range(len(entries)))
    assert set(spelled.values()) == prefixes
