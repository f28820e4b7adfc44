"""From settings to one random draw: a network, servers and clients in it, requests."""
