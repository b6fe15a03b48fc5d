"""Speech activity: this project's detector against Silero VAD and webrtcvad, see tools/compare-vad."""
