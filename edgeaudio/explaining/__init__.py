"""Why a model heard what it heard: which moments and which frequencies its answer came from."""
