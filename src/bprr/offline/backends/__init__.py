"""Solvers of integer programmes, chosen by one word; never one instead of another."""
