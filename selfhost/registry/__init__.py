"""Container registries: names, credentials, and the distribution protocol in both directions."""
