"""A server that says REACHED to whatever comes through the gate; run by the engine's Python, which has uvicorn.

    SELFHOST_GATE=FILE PYTHONPATH=selfhost/inside ENGINE_PYTHON tests/inside/gated_server.py h11|httptools

Prints its port. The versions of uvicorn and its parsers are those that the engine serves with.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from selfhost_gate import Gate


async def app(scope, receive, send):
    """Reached."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "REACHED"})
        await send({"type": "websocket.close"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]})
        await send({"type": "http.response.body", "body": b"REACHED"})


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(Gate(app), interface="asgi3", http=sys.argv[1], log_level="critical", timeout_keep_alive=1)
    uvicorn.Server(config).run(sockets=[listener])
