"""`selfhost quantize`: which model, what it takes, the run, and the variant that comes of it."""
