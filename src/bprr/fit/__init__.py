"""From a trace to a device profile."""
