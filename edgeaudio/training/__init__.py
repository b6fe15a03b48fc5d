"""Training and exporting models; the only part of edgeaudio that imports torch."""
