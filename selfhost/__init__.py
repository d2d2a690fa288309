"""Plan, download, verify and serve open-weight models on your own hardware.

The way of the data, one direction:

    recipe + hardware -> plan -> (store <- sources or bundle) -> engine process -> boot record

A map, by folder (imports point down this list only; `pyproject.toml` holds the contract):

    cli/        the command line: Typer, one error boundary, one place that prints
    app/        one module per verb: gather, decide, act; the only place where the modules below meet
    mirror/     the store over HTTP, read-only, for other machines
    doctor/     what is wrong with a machine or in a log: facts in, findings out
    render/     plan -> files of compose, podman, systemd, Kubernetes
    images/     container images that are built here: what of, by which builder
    serve/      a started plan: processes, readiness, records on disk, keys
    engines/    plan -> argv and env; engine environments from hashed locks
    registry/   container registries: names, logins, pushing and pulling
    bundle/     volumes on media: layout, signatures, what goes out and comes in
    weights/    files of a model: which, from where, verified
    hardware/   what is there (probe) or supposed (catalog)
    recipe/     what users name: facts, variants, settings; data only
    planner/    arithmetic: layouts, memory per rank, verdict, remedies; opens nothing
    models/     config.json -> architecture, tensors, KV cache
    quant/      schemes: bits, groups, who can run them
    quantize/   making variants: schemes, what they need, advice for a device; arithmetic only
    inside/     code that runs in an engine's environment, handed over by path; nothing here imports it
    messages/   every user-facing sentence, by id
"""

__version__ = "0.1.0"
