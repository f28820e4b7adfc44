"""Through which chain of servers a request goes: one policy per module, found by its name."""
