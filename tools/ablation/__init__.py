"""What each network and each part of the recipe is worth: `tools/ablate`."""
