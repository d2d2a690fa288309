"""Container registries: names, logins, pushing and pulling."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "registry.bad_reference": Text(
        "`{given}` names nothing in a registry",
        "{detail}",
        "write HOST[:PORT]/REPOSITORY[:TAG], as `registry.example:5000/models/qwen2.5-7b:bf16`",
    ),
    "registry.bad_auth_file": Text(
        "`{path}` holds no logins",
        "{detail}",
        "log in again: `skopeo login HOST`; or name another file: `export REGISTRY_AUTH_FILE=/path/to/auth.json`",
    ),
    "registry.helper": Text(
        "`{program}` does not tell who you are",
        "{detail}",
        "it is named in the file of your logins; without it, log in to a file: "
        "`skopeo login --authfile auth.json HOST && export REGISTRY_AUTH_FILE=$PWD/auth.json`",
    ),
    "registry.nobody": Text("nobody is logged in"),
    "registry.somebody": Text("the login that was found does not suffice"),
    "registry.no_way": Text("it asks for neither a token nor a password"),
    "registry.denied": Text(
        "`{host}` denies access: HTTP {status}",
        "wanted: {what}\n{who}\nit says: {detail}",
        "log in as somebody who may: `skopeo login {host}`",
    ),
    "registry.bad_realm": Text(
        "`{host}` sends us for a token to an address that gets no password",
        "found: `{url}`",
        "tokens are fetched by https; a registry for tests speaks plain HTTP: add `--plain-http`",
    ),
    "registry.bad_token": Text("`{url}` gives no token", "its answer is not understood", "check the registry's log"),
    "registry.refused": Text(
        "the registry refuses: HTTP {status}",
        "`{url}`\nit says: {detail}",
        "check that the repository exists there, and that the registry takes OCI artifacts",
    ),
    "registry.redirects": Text("a registry redirects without end", "more than {count}, the last one to `{url}`"),
    "registry.bad_location": Text(
        "a registry leads to an address that is not taken",
        "`{url}` leads to `{found}`: not HTTP, or less safe than where it came from",
        "behind a proxy that ends TLS, the registry must know its own address: docker-registry has "
        "`http.host`, or `http.relativeurls: true`",
    ),
    "registry.quota": Text(
        "`{host}` has no room left for this",
        "HTTP {status}\nit says: {detail}",
        "raise the quota of the project or delete old tags; what was sent stays: run the same command again",
    ),
    "registry.gave_up": Text(
        "`{host}`: given up after {count} failures in a row",
        "at: {name}\nthe last one: {detail}",
        "what arrived is kept there: run the same command again; a registry without TLS needs `--plain-http`",
    ),
    "registry.other_bytes": Text(
        "`{name}` is damaged or was changed",
        "sha256 wanted: {wanted}\nsha256 found: {found}\nthe registry was told to forget it",
        "see what is wrong: `selfhost bundle verify DIR`; copy this volume again where the bundle was made",
    ),
    "registry.other_size": Text(
        "`{host}` has something else under the digest of a content",
        "sha256:{sha256}\nwanted: {wanted:,} bytes\nfound: {found} bytes",
        "its storage is damaged: delete this blob there, then run the same command again",
    ),
    "registry.other_digest": Text(
        "`{host}` does not have what was asked for: `{name}`",
        "wanted: {wanted}\nfound: {found}",
        "do not use what it has: its storage is damaged, or something between here and there changes contents",
    ),
    "registry.not_kept": Text(
        "`{host}` does not keep `{name}` as it was sent",
        "the bytes were right here\nit says: {detail}",
        "look at the disk of the registry, and at what is between here and there",
    ),
    "registry.large": Text(
        "`{host}` gives a manifest that is too large: `{name}`",
        "at most {limit:,} bytes are read",
        "look at what is there: `skopeo inspect --raw docker://{host}/NAME:TAG`",
    ),
    # Notes
    "registry.slow": Text("`{url}` has not ended its answer after {seconds} s"),
    "registry.smaller": Text("{name}: `{host}` takes no requests of this size; going on with smaller ones"),
    "registry.elsewhere": Text("{name}: the registry is at another place of it"),
    "registry.lost": Text("{name}: the registry has lost what it had of it (HTTP {status}); starting over"),
    "registry.bad_range": Text("`{host}` says that it has `{found}`, and was sent all up to {end}"),
}
