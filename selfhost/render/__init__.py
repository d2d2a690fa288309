"""Plan -> files: what compose, podman (quadlet), systemd and Kubernetes need to run it.

One record, `Deployment`, says everything; each target is a pure function from it to files, byte for byte the same each
time. `selfhost.app.render` makes the record and writes the files.
"""
