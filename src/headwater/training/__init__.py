"""The training loop and everything around it: budgets, resuming, divergence, watching, several processes."""
