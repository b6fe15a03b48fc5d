"""``captions-en-small`` beside PocketSphinx: word errors and computing on the same recordings."""
