"""What `tools/emulate-pi` does: an emulated Raspberry Pi, and what can honestly be learned from it."""
