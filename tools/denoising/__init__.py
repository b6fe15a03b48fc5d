"""What noise reduction does for wake words, commands and captions, and where it does harm."""
