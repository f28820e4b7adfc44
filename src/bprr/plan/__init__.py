"""From the machines one has to a swarm that runs (docs/plan.md)."""
