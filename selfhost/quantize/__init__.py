"""Making variants: schemes, what they need, what they are good for; data and arithmetic only."""
