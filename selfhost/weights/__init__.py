"""The files of a model: which, from where, verified."""
