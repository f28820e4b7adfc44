"""What idle connections cost, a policy each."""
