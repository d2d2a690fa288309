"""One module per verb: gather, decide, act."""
