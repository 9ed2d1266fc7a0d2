"""Side-by-side measurements; results are JSON in ``results/``."""
