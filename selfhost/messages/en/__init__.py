"""English: the reference text of every message, one module per area."""
