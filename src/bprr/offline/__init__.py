"""The offline optimum: proven plans by integer programming, with any solver (paper, section 3)."""
