"""From a recogniser's log-probabilities to words: CTC decoding, incremental over chunks."""
