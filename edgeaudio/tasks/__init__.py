"""What listens to the frames: keyword spotters, and later classifiers and recognisers."""

from __future__ import annotations
