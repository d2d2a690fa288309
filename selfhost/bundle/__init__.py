"""Bundles: models, engines and what they need, on media that are carried to a machine without a network."""
