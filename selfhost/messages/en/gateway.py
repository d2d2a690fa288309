"""Messages about a gateway in front of servers that take each other's place."""

from selfhost.messages import Text

MESSAGES = {
    "gateway.made": Text("gateway in front of {url}, listening on {listen}: {folder}"),
    "gateway.start": Text("start it: `{command}`"),
    "gateway.key": Text("a key for whoever asks through it: `selfhost key new NAME --gateway {keys}`"),
    "gateway.replace": Text("replace the server behind it: `selfhost replace {name} --gateway {path}`"),
    "gateway.bad_listen": Text(
        "not an address to listen on: `{listen}`",
        hint="`--listen 127.0.0.1:8080`, or `--listen 8080` for every address",
    ),
    "gateway.exists": Text(
        "there is a gateway in `{folder}` already",
        hint="use that one, or name another folder; to make it anew, remove `{folder}/nginx.conf` first",
    ),
    "gateway.two_doors": Text(
        "`{name}` asks for keys itself, and a gateway takes keys off before it asks an engine",
        "the front door of every server asks for a key once one was made with `selfhost key new`",
        "keep one of the two: `selfhost key ls`, then `selfhost key revoke NAME` for each, "
        "and make keys of the gateway with `selfhost key new NAME --gateway {keys}`",
    ),
    "gateway.tls": Text(
        "`{name}` speaks TLS itself, and a gateway asks its engine without: {url}",
        hint="serve it on loopback without `--ssl-certfile`, and give the certificate to the gateway: "
        "`selfhost gateway {name} DIR --certificate CERTIFICATES`",
    ),
    "gateway.unreadable": Text("the gateway's configuration cannot be read: `{path}`", "{detail}"),
    "gateway.not_ours": Text(
        "not a configuration whose engine can be replaced: `{path}`",
        "wanted: a line `pid FILE;` and an upstream `selfhost_engine` that includes a file",
        "make one: `selfhost gateway NAME DIR`",
    ),
    "gateway.not_running": Text(
        "no nginx runs with `{path}`",
        "its pid file names none: {pid_file}",
        "start it: `nginx -e stderr -c {path} -g 'daemon off;'`",
    ),
    "gateway.refused": Text(
        "nginx does not take its configuration: `{path}`; nothing was changed",
        "{detail}",
        "see it yourself: `nginx -t -e stderr -c {path}`",
    ),
    "gateway.not_allowed": Text(
        "this user may not reload nginx (pid {pid}); nothing was changed",
        hint="run this as the user that nginx runs as, or as root",
    ),
    "gateway.no_reload": Text(
        "nginx did not reload `{path}` within {seconds} s; nothing was changed",
        hint="its error log says why",
    ),
}
