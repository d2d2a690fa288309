"""Recipes: one model as users name it. Data only; code decides."""
