"""How many tokens a traversal yields, a policy each."""
