"""How a session's cache is charged: one policy per module, found by its name."""
