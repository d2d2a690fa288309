"""Arithmetic of the fit: layouts, memory per rank, verdict, remedies. Opens nothing."""
