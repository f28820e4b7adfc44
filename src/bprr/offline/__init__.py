"""The offline optimum: proven plans by integer programming, with any solver (docs/model.md)."""
