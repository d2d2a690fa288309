"""Container images that are built here: what each is made of, how a builder is told, what it answers.

The Containerfiles lie in `containers/`; `selfhost.app.image` makes their context and runs the builder.
"""
