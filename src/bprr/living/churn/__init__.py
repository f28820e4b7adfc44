"""When servers fail and join: one policy per module, found by its name."""
