"""When blocks are placed anew: one policy per module, found by its name."""
