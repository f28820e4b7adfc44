"""Ways of a frame through the stages of a swarm, a policy each."""
