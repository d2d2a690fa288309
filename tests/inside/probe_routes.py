"""Every route of the pinned engine, and what the bare and the gated application answer on it.

Run by the engine's Python:

    SELFHOST_GATE=FILE PYTHONPATH=selfhost/inside ENGINE_PYTHON tests/inside/probe_routes.py > routes.json

With `--openapi` it prints the application's description of these routes instead.

Builds vLLM's own application (`build_app`) with every switch that adds routes turned on, development mode included,
but without an engine behind it: a handler that is reached fails somehow (500, 415, ...), which is an answer too.
`answers` is [bare, gated] per route of that application, without a key; `source` are the routes that the engine's
source files declare (some are registered only when an optional package is there).
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ |= {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_ENABLE_COHERE_API": "1"}
SWITCHES = ["--enable-scale-out", "--tokens-only", "--enable-tokenizer-info-endpoint"]
TASKS = ("generate", "transcription", "realtime", "embed", "classify", "token_embed", "token_classify", "render")
PREFLIGHT = "OPTIONS /v1/chat/completions"
"""Answered by the engine's CORS middleware, which is no route; its own key check lets this method through."""
DECLARES = {"get", "post", "put", "delete", "patch", "head", "options", "websocket", "add_api_route", "api_route"}


def build(*switches: str, throttle: bool = False):
    """vLLM's application with the gate as its middleware and every group of routes."""
    if throttle:
        os.environ["CUSTOM_FASTAPI_MIDDLEWARE_THROTTLE"] = f"{Path(__file__).resolve()}:throttle"
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    profiler = json.dumps({"profiler": "torch", "torch_profiler_dir": str(Path.cwd())})
    words = [*SWITCHES, *switches, "--profiler-config", profiler, "--middleware", "selfhost_gate.Gate"]
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
    args.enable_fault_tolerance = True
    model_config = SimpleNamespace(get_pooling_task=lambda _tasks: "embed")
    app = build_app(args, TASKS, model_config)
    # As on a server without an engine (`vllm launch render`), which is always healthy.
    app.state.engine_client = app.state.openai_serving_realtime = None
    return app


async def throttle(request, call_next):
    """A middleware that vLLM's container standards put outside every other one."""
    return await call_next(request)


def registered(routes, prefix: str = "") -> list[str]:
    """`METHOD path` of every route, mounts as `MOUNT path`; fails on a kind of route it does not know."""
    found = []
    for route in routes:
        kind = type(route).__name__
        if kind == "Mount":
            found.append(f"MOUNT {prefix}{route.path}")
        elif "WebSocket" in kind:
            found.append(f"WEBSOCKET {prefix}{route.path}")
        elif getattr(route, "methods", None):
            found += [f"{method} {prefix}{route.path}" for method in route.methods]
        else:
            msg = f"unknown kind of route: {route!r}"
            raise TypeError(msg)
    return sorted(set(found))


def declared() -> list[str]:
    """`METHOD path` of every route that a file of the engine's entry points declares by a literal."""
    import vllm.entrypoints

    found = set()
    for path in Path(inspect.getfile(vllm.entrypoints)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "attr", None) if isinstance(node, ast.Call) else None
            first = node.args[0] if name in DECLARES and node.args else None
            if isinstance(first, ast.Constant) and str(first.value).startswith("/"):
                methods = [k.value for k in node.keywords if k.arg == "methods"] or [ast.List([ast.Constant(name)])]
                found |= {f"{method.value.upper()} {first.value}" for method in methods[0].elts}
    return sorted(found)


async def answer(app, stack, route: str) -> int | str:
    """Status that a stack of the application answers on a route with no key and no body; for WebSocket what it says."""
    method, path = route.split(" ", 1)
    path = re.sub(r"\{[^}]*\}", "x", path)
    if method == "MOUNT":
        method, path = "GET", {"/static": "/static/swagger-ui.css", "/metrics": "/metrics/x"}.get(path, f"{path}/x")
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "app": app}
    scope |= {"headers": [(b"host", b"127.0.0.1")], "root_path": "", "http_version": "1.1", "scheme": "http"}
    scope |= {"server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "state": {}}
    if method == "OPTIONS":
        scope["headers"] += [(b"origin", b"http://127.0.0.1"), (b"access-control-request-method", b"POST")]
    if method == "WEBSOCKET":
        scope |= {"type": "websocket", "subprotocols": [], "extensions": {"websocket.http.response": {}}}
    messages = iter([{"type": "websocket.connect"}] if method == "WEBSOCKET" else [{"type": "http.request"}])
    said = []

    async def receive():
        return next(messages, {"type": f"{scope['type']}.disconnect", "code": 1000})

    async def send(message):
        said.append(message.get("status") or message["type"])

    # ServerErrorMiddleware answers 500 and raises again.
    with contextlib.suppress(Exception):
        await asyncio.wait_for(stack(scope, receive, send), timeout=20)
    return said[0] if said else "nothing"


async def start(app) -> str:
    """What the application says to a server that starts it, as far as the gate lets it come."""
    said = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        said.append(message)

    with contextlib.suppress(Exception):
        await app({"type": "lifespan", "state": {}}, receive, send)
    return said[0]["type"] if said else "nothing"


async def main() -> dict[str, object]:
    """All of it as one object."""
    from selfhost_gate import Gate

    if sys.argv[1:] == ["--throttle"]:
        app = build(throttle=True)
        return {"start": await start(app), "health": await answer(app, app.middleware_stack, "GET /health")}
    if sys.argv[1:] == ["--openapi"]:
        return build().openapi()
    answers: dict[str, list[int | str]] = {}
    # The two kinds of documentation pages exclude each other.
    for app in (build(), build("--enable-offline-docs")):
        gated = app.middleware_stack
        app.user_middleware = [layer for layer in app.user_middleware if layer.cls is not Gate]
        bare = app.build_middleware_stack()
        for route in [*registered(app.routes), PREFLIGHT]:
            answers[route] = [await answer(app, stack, route) for stack in (bare, gated)]
    return {"source": declared(), "answers": answers}


if __name__ == "__main__":
    # The engine logs to stdout.
    stdout = os.dup(1)
    os.dup2(2, 1)
    result = asyncio.run(main())
    os.write(stdout, json.dumps(result, indent=1).encode())
