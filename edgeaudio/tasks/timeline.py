"""Where in the stream an acoustic model's output frames lie."""

from __future__ import annotations

from edgeaudio.tasks.acoustic import AcousticModel

__all__ = ["Timeline"]


class Timeline:
    """Counts what goes into an acoustic model and what comes out, and turns both into samples.

    Parameters
    ----------
    acoustic : AcousticModel
        Whose output frames are meant.
    """

    def __init__(self, acoustic: AcousticModel) -> None:
        self._acoustic = acoustic
        self._hop = acoustic.spec.hop_samples
        self._surplus = acoustic.spec.window_samples - self._hop
        self.reset(0)

    def reset(self, at_sample: int) -> None:
        """Begin anew at the absolute sample `at_sample`."""
        self.first_sample = at_sample
        self.n_frames = 0
        """Input frames heard."""
        self.n_decided = 0
        """Output frames read."""

    @property
    def needed(self) -> int:
        """Absolute sample behind the last one that the output frames read so far depended on.

        They come in chunks, and a chunk is as late as its last output frame.
        """
        chunk = self._acoustic.chunk_frames
        n_decided = -(-self.n_decided // chunk) * chunk
        behind = n_decided * self._acoustic.frame_samples + self._surplus + self._acoustic.lookahead_samples
        # Nothing was heard of what is played on after the end.
        heard = self.n_frames * self._hop + self._surplus
        return self.first_sample + (min(behind, heard) if n_decided else 0)

    @property
    def decided(self) -> int:
        """Absolute sample up to which the output frames read so far tell what was said.

        With a look-ahead it is earlier than `needed`: what follows was heard, but not decided about.
        """
        return self.first_sample + self.n_decided * self._acoustic.frame_samples + self._surplus

    def spoken(self, output_frame: int) -> int:
        """Absolute sample at which that was spoken which shows at the beginning of an output frame."""
        behind = output_frame * self._acoustic.frame_samples - self._acoustic.delay_samples
        return min(self.first_sample + max(0, behind), self.needed)
