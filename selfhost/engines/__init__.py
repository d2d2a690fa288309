"""Engines: plan -> argv and env, and the environments they run in."""
