"""The command line; the only package that knows Typer, and the only one that prints."""
