"""nginx in front of a stock engine: a list of routes, a key on all of them but `/health`, and nothing else.

The table of routes is that of the front door in the engine's process (selfhost/inside/selfhost_gate.py; a test
compares them), and paths count in their literal form only, as there. What the in-process door does not do is done
here: a limit of requests per key, of the size of bodies, a number for each request, TLS.

Traps that the configuration goes around, all of them in nginx's own documentation:
- `map` ignores the case of strings, also of keys: each key is a regular expression, which does not;
- `location` looks at a path after `%2e`, `//` and `..` are worked out: decided is on `$request_uri`, as it was sent;
- buffering would hold a stream back; a body would be cut off at 1 MiB, an answer at 60 s without a byte.

It runs under any uid with a read-only root: all it writes is below `/tmp`. nginx 1.19.5 and newer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.records import dataclass
from selfhost.render.deployment import ENGINE_PORT, GATEWAY_PORT
from selfhost.render.rendered import RenderedFile, header

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment

CONFIGURATION = "/etc/nginx/nginx.conf"
"""Where the container has the configuration."""
KEYS_DIRECTORY = "/etc/nginx/keys"
"""Mounted as a directory, so that a file that is replaced is seen (Kubernetes and editors rename; a mounted file stays
the old one)."""
KEYS_NAME = "keys.conf"
ARGV = ("nginx", "-e", "stderr", "-c", CONFIGURATION, "-g", "daemon off;")
"""`-e`: the log named when nginx was built is not writable, and is opened before the configuration is read."""
STOP_SIGNAL = "SIGQUIT"
"""Lets running answers end; TERM cuts them off."""
METRICS_PORT = 8081
WEBSOCKET = "WEBSOCKET"
"""Stands for the method of a WebSocket handshake, as in the front door."""

OPEN = (("GET", "/health"), ("HEAD", "/health"))
ANTHROPIC = (("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"))
"""Their clients send the key as `x-api-key`."""
KEYED = (
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/rerank"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("GET", "/metrics"),
    ("GET", "/version"),
    (WEBSOCKET, "/v1/realtime"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayOptions:
    """What a target decides: addresses and paths as they are where its gateway runs."""

    listen: str = str(GATEWAY_PORT)
    """`PORT` or `ADDRESS:PORT`: name the address where the network is the host's."""
    engine: str = f"127.0.0.1:{ENGINE_PORT}"
    engine_file: str = ""
    """Where that address stands in a line of its own instead (`engine_line`), so that it can be replaced; empty: in the
    configuration."""
    metrics: str = f"127.0.0.1:{METRICS_PORT}"
    """`/metrics` without a key, for a Prometheus in the same network; keep it on loopback."""
    keys: str = f"{KEYS_DIRECTORY}/{KEYS_NAME}"
    certificate: str = ""
    """Directory of `tls.crt` and `tls.key`, as a TLS secret of Kubernetes has them; empty: no TLS."""
    temporary: str = "/tmp"  # noqa: S108 - of the container
    access_log: str = "/dev/stdout"
    """`off` under systemd, whose standard output cannot be opened by name."""
    group: str = "0"
    """Of those that may read the keys, beside root."""
    body_mib: int = 64
    """Of a request; pictures come in it."""
    requests_per_s: int = 50
    """Of one key."""
    burst: int = 200


def gateway_files(deployment: Deployment, options: GatewayOptions | None = None) -> list[RenderedFile]:
    """The configuration, and an example of the file with the keys, below `gateway/`."""
    chosen = options or GatewayOptions()
    return [
        RenderedFile(path="gateway/nginx.conf", text=header(deployment) + nginx_text(chosen)),
        RenderedFile(path=f"gateway/{KEYS_NAME}.example", text=key_example(chosen), mode=0o600),
    ]


def key_example(options: GatewayOptions) -> str:
    """What the example of the file with the keys says."""
    return _KEYS.replace("@group@", options.group)


def key_line(key: str, name: str) -> str:
    """The line of a key in the file of keys.

    >>> key_line("Qx7_1", "alice")
    '"~^Qx7_1$" "alice";'
    """
    return f'"~^{re.escape(key)}$" "{name}";'


def nginx_text(options: GatewayOptions) -> str:
    """The configuration without its header."""
    values = {
        "listen": _listen(options),
        "upstream": _UPSTREAM if options.engine_file else options.engine,
        "upstreams": _upstreams(options),
        "metrics": _metrics(options),
        "keys": options.keys,
        "temporary": options.temporary.rstrip("/"),
        "access_log": "off" if options.access_log == "off" else f"{options.access_log} requests if=$logged",
        "body": f"{options.body_mib}m",
        "rate": f"{options.requests_per_s}r/s",
        "burst": str(options.burst),
        "routes": "\n".join(_routes()),
        "blocked": _BLOCKED,
    }
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], _NGINX)


def engine_line(host: str, port: int) -> str:
    """What stands in `engine_file`.

    >>> engine_line("::1", 8001).strip()
    'server [::1]:8001;'
    """
    return f"server {f'[{host}]' if ':' in host else host}:{port};\n"


def _upstreams(options: GatewayOptions) -> str:
    if not options.engine_file:
        return ""
    return f"    upstream {_UPSTREAM} {{\n        include {options.engine_file};\n    }}\n\n"


def _metrics(options: GatewayOptions) -> str:
    """Not where the gateway itself listens: nginx would take two servers at one address for one with two names."""
    host, _, port = options.metrics.rpartition(":")
    taken = options.listen.rpartition(":")[2] == port
    return f"{host}:{int(port) + 1}" if taken else options.metrics


def _listen(options: GatewayOptions) -> str:
    if not options.certificate:
        return f"listen {options.listen};"
    folder = options.certificate.rstrip("/")
    lines = (
        f"listen {options.listen} ssl;",
        f"ssl_certificate {folder}/tls.crt;",
        f"ssl_certificate_key {folder}/tls.key;",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        "ssl_session_tickets off;",
    )
    return "\n        ".join(lines)


def _routes() -> list[str]:
    """Lines of the map from a request to its door."""
    doors = (("open", OPEN), ("anthropic", ANTHROPIC), ("keyed", KEYED))
    return [
        rf'        "~^{_METHODS.get(method, method)} {path}(\?|$)" {door};'
        for door, routes in doors
        for method, path in routes
    ]


_UPSTREAM = "selfhost_engine"
ENGINE_LINE = re.compile(r"server \S+:(?P<port>\d+);\n?")
_BLOCKED = (
    '{"error": {"message": "this route is blocked: only the routes of the gateway, written exactly, reach the engine",'
    ' "type": "invalid_request_error", "param": null, "code": "route_blocked"}}'
)
_METHODS = {WEBSOCKET: r"GET\+websocket"}
_NGINX = """\
pid @temporary@/nginx.pid;
error_log stderr error;
worker_processes 4;
worker_rlimit_nofile 16384;
# On a reload an answer may still take this long; on a stop whoever stops the gateway has less patience.
worker_shutdown_timeout 3600s;

events {
    worker_connections 8192;
}

http {
    client_body_temp_path @temporary@/client_body;
    proxy_temp_path @temporary@/proxy;
    fastcgi_temp_path @temporary@/fastcgi;
    uwsgi_temp_path @temporary@/uwsgi;
    scgi_temp_path @temporary@/scgi;
    default_type application/json;
    server_tokens off;
    map_hash_bucket_size 256;
    variables_hash_bucket_size 128;

@upstreams@    # Requests that may become a WebSocket are routes of their own.
    map $http_upgrade $websocket {
        default "";
        "~*^websocket$" "+websocket";
    }
    map $websocket $hop_upgrade {
        default "";
        "+websocket" websocket;
    }
    map $websocket $hop {
        default close;
        "+websocket" upgrade;
    }

    # The path as it was sent: what is written in another way is another path.
    map "$request_method$websocket $request_uri" $door {
        default blocked;
@routes@
    }

    # A key comes as `Authorization: Bearer KEY`; Anthropic's clients may send it as `x-api-key`.
    map $http_authorization $bearer {
        default "";
        "~*^bearer +(?<token>[!-+./0-~-]+) *$" $token;
    }
    map $http_authorization $bearer_or_header {
        default $bearer;
        "" $http_x_api_key;
    }
    map $door $presented {
        default $bearer;
        anthropic $bearer_or_header;
    }
    # The name of the key; empty for one that is not in the file.
    map $presented $caller {
        default "";
        include @keys@;
    }
    map "$door $caller" $verdict {
        default no_key;
        "~^blocked " blocked;
        "~^open " let_in;
        "~^(keyed|anthropic) ." let_in;
    }
    map $verdict $challenge {
        default "";
        no_key 'Bearer realm="selfhost"';
    }
    # The engine knows GET only where HEAD is let through.
    map $request_method $engine_method {
        default $request_method;
        HEAD GET;
    }
    map $door $logged {
        default 1;
        open 0;
    }

    limit_req_zone $caller zone=callers:1m rate=@rate@;
    limit_req_status 429;

    # No header, no body, no query: neither keys nor prompts are logged.
    log_format requests escape=json
        '{"time":"$time_iso8601","id":"$request_id","caller":"$caller","address":"$remote_addr",'
        '"method":"$request_method","path":"$uri","status":$status,"sent_bytes":$bytes_sent,'
        '"first_byte_s":"$upstream_header_time","all_s":$request_time}';
    access_log @access_log@;

    server {
        @listen@
        server_name _;
        merge_slashes off;
        client_max_body_size @body@;
        client_body_buffer_size 1m;

        add_header X-Request-Id $request_id always;
        add_header WWW-Authenticate $challenge always;
        proxy_method $engine_method;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Authorization "";
        proxy_set_header X-Api-Key "";
        proxy_set_header X-Request-Id $request_id;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $hop_upgrade;
        proxy_set_header Connection $hop;
        proxy_hide_header X-Request-Id;
        proxy_buffering off;
        proxy_buffer_size 16k;
        proxy_buffers 8 16k;
        proxy_next_upstream off;
        proxy_connect_timeout 5s;
        proxy_send_timeout 3600s;
        proxy_read_timeout 3600s;

        error_page 413 @too_large;
        error_page 429 @too_many;
        error_page 502 504 =503 @not_ready;

        location / {
            if ($verdict = blocked) {
                return 404 '@blocked@';
            }
            if ($verdict != let_in) {
                return 401 '{"error": {"message": "this server needs an API key: send it as `Authorization: Bearer KEY`", "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}}';
            }
            limit_req zone=callers burst=@burst@ nodelay;

            proxy_pass http://@upstream@;
        }

        # While the engine starts, every probe would be an error.
        location = /health {
            if ($verdict != let_in) {
                return 404 '@blocked@';
            }
            error_log stderr crit;
            proxy_pass http://@upstream@;
        }

        location @too_large {
            return 413 '{"error": {"message": "the request is larger than the gateway lets through: @body@", "type": "invalid_request_error", "param": null, "code": "request_too_large"}}';
        }
        location @too_many {
            add_header X-Request-Id $request_id always;
            add_header Retry-After 1 always;
            return 429 '{"error": {"message": "too many requests with this key: @rate@", "type": "requests", "param": null, "code": "rate_limit_exceeded"}}';
        }
        location @not_ready {
            add_header X-Request-Id $request_id always;
            add_header Retry-After 5 always;
            return 503 '{"error": {"message": "the engine does not answer: it is starting, or it stopped", "type": "server_error", "param": null, "code": "engine_not_ready"}}';
        }
    }

    # For Prometheus beside the engine: no key, so loopback only.
    server {
        listen @metrics@;
        server_name _;
        access_log off;

        location = /metrics {
            limit_except GET {
                deny all;
            }
            proxy_pass http://@upstream@;
        }
        location = /gateway {
            stub_status;
        }
        location / {
            return 404;
        }
    }
}
"""  # noqa: E501 - an answer is one line

_KEYS = """\
# One line for each key: the key as an exact regular expression, and the name that the access log gets.
# `selfhost key new alice --gateway keys.conf` adds one. Without selfhost: only letters, digits, - and _ need no care; a
# line with a new key, whose file only the gateway's group (@group@) may read:
#
#     printf '"~^%s$" "alice";\\n' "sk-$(openssl rand -hex 32)" >> keys.conf
#     chgrp @group@ keys.conf && chmod 0640 keys.conf
#
# A reload (`nginx -s reload` in the gateway) takes changes. A file without a key lets nobody in.
"""
