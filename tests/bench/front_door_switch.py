"""A middleware for `bench_front_door`: the query `?bare` goes past the front door, everything else through it."""

from __future__ import annotations

from selfhost_gate import Gate


class Switch:
    """Both ways to one engine, so that they can be measured in turns within a second of each other."""

    def __init__(self, app) -> None:
        self.app = app
        self.gate = Gate(app)

    def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan" or scope["query_string"] == b"bare":
            return self.app(scope, receive, send)
        return self.gate(scope, receive, send)
