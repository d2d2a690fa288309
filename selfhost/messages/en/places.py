"""Messages about where models can be had: what places say, what serving needs of it, being offline."""

from selfhost.messages import Text

_TRY = (
    "check the network, and `HTTPS_PROXY` if there is a proxy; or take the model from elsewhere:\n"
    "`HF_ENDPOINT=https://MIRROR` (a mirror of the hub), `--source modelscope`, `--source http://HOST/PATH`, "
    "`--source DIRECTORY`"
)

MESSAGES = {
    # Offline
    "places.bad_offline": Text(
        "`{variable}={value}` is neither yes nor no",
        "on: 1, true, yes; off: 0, false, no, or nothing",
        "set `{variable}=1`, or unset it",
    ),
    "places.offline": Text(
        "offline, and `{host}` is on another machine",
        "offline: `SELFHOST_OFFLINE` or `--offline`; only this machine may be connected to",
        "name a directory that has it (`--source DIRECTORY`, `--image oci:DIR`); "
        "or run without `--offline` and `SELFHOST_OFFLINE`",
    ),
    "places.hub_offline": Text(
        "`{variable}` forbids to ask {label}",
        "`{variable}` is set in the environment",
        "unset `{variable}`, or name a directory that has the model: `--source DIRECTORY`",
    ),
    "places.is_offline": Text("offline"),
    # Reaching
    "places.unreachable": Text("{label} cannot be reached", "{url}: {reason}", _TRY),
    "places.untrusted": Text(
        "{label} cannot be reached safely",
        "{url}: {reason}",
        "if a proxy or a mirror here has certificates of its own, name their issuer: "
        "`SSL_CERT_FILE=/path/to/ca.pem`; else check the clock of this machine",
    ),
    "places.none_reachable": Text("none of the places that have this model can be reached", "{reasons}", _TRY),
    "places.bad_answer": Text(
        "{label} does not answer for `{name}`",
        "{url}: HTTP {status}",
        "try again later, or take another place: `--source modelscope`, `--source http://HOST/PATH`, "
        "`--source DIRECTORY`",
    ),
    "places.not_json": Text(
        "{label} gives no list of the files of `{name}`",
        "{url} answers with something else: a login page, or a server that is no hub",
        "open the address in a browser; check `HTTPS_PROXY` and the endpoint that is set",
    ),
    "places.bad_endpoint": Text(
        "`{value}` is no address of a server",
        "`{variable}`: wanted http://HOST or https://HOST, with a port or a path where there is one",
        "write it in full, such as `https://huggingface.co`",
    ),
    "places.bad_certificates": Text(
        "the certificates in `{path}` cannot be read",
        "`{variable}`: {detail}",
        "name a file in PEM format, or unset `{variable}`",
    ),
    # Reasons, within the lines above
    "places.refused": Text("connection refused"),
    "places.unknown_name": Text("its name is not known here (DNS)"),
    "places.timed_out": Text("no answer in time"),
    "places.cut": Text("the connection was cut"),
    "places.bad_certificate": Text("certificate not trusted: {detail}"),
    "places.status": Text("HTTP {status}"),
    # Models at hubs
    "places.bad_id": Text(
        "`{name}` is not the id of a model",
        "wanted ORGANISATION/NAME: letters, digits, `-`, `_` and `.`",
        "copy it from the page of the model",
    ),
    "places.unknown_model": Text(
        "{label} has no model `{name}`, or it is private",
        "asked at {url}",
        "check the name; for a private model set a token: `HF_TOKEN` at Hugging Face, `MODELSCOPE_API_TOKEN` at "
        "ModelScope",
    ),
    "places.unknown_revision": Text(
        "`{name}` has no revision `{revision}` at {label}",
        "a revision is a branch, a tag or a commit",
        "leave the revision out, or copy one from the page of the model",
    ),
    "places.gated": Text(
        "`{name}` is given only to those who accepted its licence",
        "{label} says so of whoever asks: no token, or one of somebody who has not accepted it",
        "accept it at {url}, then set `HF_TOKEN` to a token of the same account",
    ),
    "places.token_wanted": Text(
        "{label} wants a token for `{name}`",
        "HTTP {status}, and no token was sent",
        "set one: `{variable}=...`",
    ),
    "places.token_refused": Text(
        "{label} refuses the token for `{name}`",
        "HTTP {status}: it has expired, was revoked, or may not read this model",
        "make another one and set it: `{variable}=...`; or unset `{variable}` if the model is public",
    ),
    "places.token_unread": Text(
        "the token for Hugging Face cannot be had",
        "{detail}",
        "set one: `HF_TOKEN=...`, or do without: `HF_HUB_DISABLE_IMPLICIT_TOKEN=1`",
    ),
    "places.other_commit": Text(
        "{label} gives another revision of `{name}` than the one asked for",
        "wanted {wanted}, found {found}",
        "it is no true copy of the hub: take another place with `--source`, or another `HF_ENDPOINT`",
    ),
    "places.empty_listing": Text(
        "{label} lists no files of `{name}`",
        "the repository is empty, or the server is no whole copy of the hub",
        "look at the page of the model; take another place: `--source modelscope`, `--source DIRECTORY`",
    ),
    "places.bad_listing": Text(
        "{label} lists what cannot be",
        "{detail}",
        "do not use this place; report it",
    ),
    "places.too_many": Text(
        "{label} does not list all files of `{name}`",
        "too many in folder `{folder}`: the rest would be missing without a word",
        "take another place: `--source huggingface`, `--source DIRECTORY`",
    ),
    # Mirrors and directories
    "places.no_list": Text(
        "{label} has no list of files",
        "wanted one of, or `selfhost-model.json` there:\n{looked}",
        "make one in the directory of the model on the mirror: "
        "`find . -type f ! -name SHA256SUMS -print0 | xargs -0 sha256sum > SHA256SUMS`\n"
        "if it is a mirror of the hub, with its API: `HF_ENDPOINT=http://HOST` and no `--source`",
    ),
    "places.bad_list": Text(
        "`{path}` is not a list of files",
        "{detail}",
        "make it anew: `sha256sum * > SHA256SUMS` in the directory of the model",
    ),
    "places.mirror_refuses": Text(
        "{label} lets nobody in without a password",
        "HTTP {status}",
        "give both in the address: `--source http://USER:PASSWORD@HOST/PATH`; or check that it serves that path",
    ),
    "places.no_directory": Text(
        "no directory `{path}`",
        "wanted a directory with a config.json and safetensors",
        "check the path",
    ),
    "places.which_snapshot": Text(
        "`{path}` has {count} snapshots",
        "`refs/main` names none of them",
        "name one of them: `{example}`",
    ),
    "places.no_file": Text("no file `{path}`", "{detail}", "check the directory: `ls -lL`"),
    "places.leads_out": Text(
        "`{path}` leads out of its directory",
        "it is a link to {target}",
        "put the file itself there: `cp --remove-destination {target} {path}`",
    ),
    "places.no_plain_file": Text("`{path}` is no plain file", "found a device, a pipe or a socket", "remove it"),
    # What serving needs
    "places.unsafe_path": Text(
        "a file of `{name}` has a name that is not safe to write",
        "{path}: absolute, with `..`, a backslash or control characters, or too long",
        "do not use this place; report it",
    ),
    "places.listed_twice": Text(
        "`{path}` is listed twice, with different content",
        "in the files of `{name}`",
        "do not use this place; report it",
    ),
    "places.absent": Text(
        "{count} files that `{name}` needs are not at this place",
        "absent: {names}",
        "take another place, such as `--source modelscope`; on a mirror, copy the whole model again",
    ),
    "places.changed": Text(
        "`{path}` is not the file that {label} lists",
        "{what}: wanted {wanted}, found {found}",
        "run the same command again; if it stays so, take another place, such as `--source modelscope`",
    ),
    "places.not_given": Text(
        "{label} does not give `{path}`",
        "{url}: HTTP {status}",
        "run the same command again; if it stays so, take another place, such as `--source modelscope`",
    ),
    "places.bad_index": Text(
        "the index of the weights of `{name}` is not usable",
        "{detail}",
        "take another place, such as `--source modelscope`, or another revision",
    ),
    "places.no_config": Text(
        "`{name}` has no config.json",
        "found: {found}",
        "name a model in the form of Transformers: a config.json and safetensors",
    ),
    "places.adapter": Text(
        "`{name}` is an adapter, not a model",
        "found: {found}",
        "name the model it was made for: `base_model_name_or_path` in its adapter_config.json",
    ),
    "places.no_weights": Text(
        "`{name}` has no weights",
        "wanted *.safetensors beside config.json, found {found}",
        "name a model in the form of Transformers: a config.json and safetensors",
    ),
    # Choosing
    "places.unknown_source": Text(
        "`{value}` is not a source",
        "one of: {choices}",
        "for a directory that is yet to be made, write a path: `./DIRECTORY`",
    ),
    "places.no_wheel": Text(
        "`{name}` is not to be had as a wheel",
        "its sources: {kinds}",
        "leave `--source` out",
    ),
    "places.not_opened": Text(
        "a source of kind `{kind}` has no list of files",
        "huggingface, modelscope, mirror and directory do",
        "name one of those: `--source huggingface`",
    ),
}
