"""Swarms that live: servers fail, join and load other blocks while sessions run."""
