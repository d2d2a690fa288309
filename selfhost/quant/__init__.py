"""Quantization schemes: bits, groups, and who can run them."""
