"""When a session may start: one policy per module, found by its name."""
