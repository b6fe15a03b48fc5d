"""What networks and frontends for sounds are worth, cross-validated: ``tools/compare-sounds``."""
