"""Messages of the mirror: some are told to its clients, in one line."""

from selfhost.messages import Text

MESSAGES = {
    "mirror.front": Text("selfhost mirror: models by their ids, and wheels for pip"),
    "mirror.no_path": Text("this mirror has nothing of that name"),
    "mirror.no_model": Text(
        "this mirror has no model `{name}`; bring it with `selfhost pull` or `selfhost bundle import` where it runs"
    ),
    "mirror.no_revision": Text("this mirror has no revision `{revision}` of `{name}`; it has: {known}"),
    "mirror.no_file": Text("this mirror has no `{path}` of `{name}`"),
    "mirror.damaged": Text("`{path}` is damaged on the mirror; run `selfhost verify {name}` there"),
    "mirror.bad_request": Text("not a request that a mirror understands"),
    "mirror.not_acceptable": Text("the index has these types: {types}"),
    "mirror.read_only": Text("a mirror is read-only"),
    "mirror.key_wanted": Text(
        "this mirror needs an API key: as `Authorization: Bearer KEY` (`HF_TOKEN=KEY`), "
        "or as the password in `http://user:KEY@host`"
    ),
    "mirror.busy": Text("too many connections at a time"),
    "mirror.exposed": Text(
        "refusing to listen on `{host}` without an API key",
        "the address can be reached from other machines, and no key exists: anybody there could fetch the models",
        "make a key: `selfhost key new NAME`\nor, where everybody may have them, add `--no-key`\n"
        "or stay on this machine: `--host 127.0.0.1`",
    ),
    "mirror.cannot_listen": Text(
        "cannot listen on `{host}` port {port}",
        "{detail}",
        "take another: `selfhost mirror serve --host {host} --port 0` takes a free port and prints it",
    ),
    "mirror.no_wheelhouse": Text(
        "no directory with wheels: `{path}`",
        "wanted: a directory with `*.whl` in it",
        "fill one where there is a network: `pip download -d {path} ...`",
    ),
    "mirror.ready": Text("serving at {url}; models: {count}; Ctrl-C stops it"),
    "mirror.use_hub": Text("models: HF_ENDPOINT={url}, or `selfhost pull MODEL --source {url}`"),
    "mirror.use_pip": Text("wheels: `pip install --index-url {url}/simple/ --trusted-host {host} NAME`"),
    "mirror.use_key": Text("it asks for a key: HF_TOKEN=KEY, and http://user:KEY@... for pip"),
    "mirror.stopping": Text("stopping: {count} transfers may finish within {grace_s:.0f} s"),
}
