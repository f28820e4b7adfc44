"""What users write: the only reader of YAML, and what it says of a mistake."""
