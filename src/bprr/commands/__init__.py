"""Subcommands of ``bprr``, one module each."""
