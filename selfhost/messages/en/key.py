"""Messages about API keys."""

from selfhost.messages import Text

MESSAGES = {
    "key.bad_name": Text(
        "not a name for a key: `{name}`",
        "wanted: letters, digits, `.`, `_` and `-`, at most 64, a letter or digit first",
        "for example `selfhost key new my-laptop`",
    ),
    "key.taken": Text(
        "a key of this name exists: `{name}`",
        "made {created}; a key cannot be shown again",
        "take another name, or end that one first: `selfhost key revoke {name}`",
    ),
    "key.unknown": Text(
        "no key of this name: `{name}`",
        "nearest: {nearest}",
        "see all of them: `selfhost key ls`",
    ),
    "key.exposed": Text(
        "refusing to listen on `{host}` without an API key",
        "the address can be reached from other machines, and no key exists: anybody could use the model",
        "make a key: `selfhost key new NAME`\nor stay on this machine: `--host 127.0.0.1`",
    ),
    "key.damaged": Text(
        "the file of API keys is damaged: `{path}`",
        "{detail}",
        "put a backup in its place, or remove it and make new keys: `selfhost key new NAME`",
    ),
    "key.unreadable": Text(
        "the file of API keys cannot be read: `{path}`",
        "{detail}",
        "see who may read it and what lies there: `ls -ld {path}`; until it can be read servers refuse every key",
    ),
    "key.newer": Text(
        "the file of API keys was written by a newer selfhost: `{path}`",
        "schema_version found: {found}, understood: {understood}",
        "use the selfhost that wrote it",
    ),
    "key.output_exists": Text(
        "will not overwrite `{path}`",
        hint="name a file that does not exist yet",
    ),
    "key.output_unwritable": Text(
        "the key cannot be written to `{path}`",
        "{detail}",
        "name another file; no key was made",
    ),
    "key.no_directory": Text(
        "no such directory: `{path}`",
        hint="make it first: `mkdir -p {path}`",
    ),
    "key.gateway_taken": Text(
        "a key of this name is in the file already: `{name}`",
        "{path}",
        "take another name, or end that one first: `selfhost key revoke {name} --gateway {quoted}`",
    ),
    "key.gateway_unknown": Text(
        "no key of this name in `{path}`: `{name}`",
        "nearest: {nearest}",
        "see all of them: `selfhost key ls --gateway {quoted}`",
    ),
    "key.gateway_no_file": Text(
        "no such file: `{path}`",
        hint="make it with its first key: `selfhost key new NAME --gateway {quoted}`",
    ),
    "key.gateway_place": Text(
        "no file of keys can be here: `{path}`",
        "it is a directory, a device or a pipe, or the folder above its own is missing",
        "name the file below a rendered folder: `--gateway gateway/keys/keys.conf`",
    ),
    "key.gateway_damaged": Text(
        "nginx does not take this file of keys: `{path}`",
        "line {line} is no entry of a map; nothing was changed",
        'make it an entry, `"~^KEY$" "NAME";`, or a comment, with an editor',
    ),
    "key.gateway_none": Text("no keys in the file: the gateway lets nobody in"),
    "key.output_is_gateway": Text(
        "`--output` and `--gateway` are one file: `{path}`",
        "the key alone would take the place of the gateway's keys",
        "name another file: `--output {path}.key`",
    ),
    "key.gateway_unreadable": Text(
        "the file of keys cannot be read: `{path}`",
        "{detail}",
        "run the command as its owner, or with `sudo`",
    ),
    "key.gateway_expires": Text(
        "a gateway's key does not end by itself",
        "nginx compares keys and knows no times",
        "leave `--expires` out, and end it when its time has come: `selfhost key revoke NAME --gateway FILE`",
    ),
    "key.bad_time": Text(
        "`{flag}` is no time: `{text}`",
        "wanted: a number with `s`, `m`, `h`, `d` or `w`, that ends before the year 9999",
        "for example `{flag} 30d`",
    ),
    "key.rotated": Text("another key of `{name}` made; it is shown only this once; the one before holds {keep} more"),
    "key.rotated_to": Text(
        "another key of `{name}` made; it is in `{path}` (mode 0600) and kept nowhere else; "
        "the one before holds {keep} more"
    ),
    "key.gateway_rotated": Text(
        "another key of `{name}` made; it is in `{path}`, as it is; "
        "the one before holds until `selfhost key revoke {name} --old --gateway {quoted}`"
    ),
    "key.ends": Text("it ends by itself in {duration}"),
    "key.old_revoked": Text("what was left of `{name}` from before is revoked; its newest key holds"),
    "key.gateway_made": Text("key `{name}` made; it is in `{path}`, as it is: keep that file to its owner and gateway"),
    "key.gateway_reload": Text(
        "a gateway reads the file when it starts and on SIGHUP: `docker compose kill -s HUP gateway`,"
        " `podman kill -s HUP NAME-gateway`, `systemctl reload NAME-gateway`;"
        " in Kubernetes as the `README.md` of the rendered files says"
    ),
    "key.gateway_revoked": Text("key `{name}` is no longer in `{path}`"),
    "key.made": Text("key `{name}` made; it is shown only this once and kept nowhere"),
    "key.written": Text("key `{name}` made; it is in `{path}` (mode 0600) and kept nowhere else"),
    "key.in_force": Text("it holds now, on running servers too; servers that asked for no key ask for one from now on"),
    "key.revoked": Text("key `{name}` revoked; running servers refuse it within about a second"),
    "key.none": Text("no keys; make one with `selfhost key new NAME`"),
}
