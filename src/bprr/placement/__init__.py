"""Which blocks each server holds: one policy per module, found by its name."""
