"""How a server computes: one policy per module, found by its name."""
