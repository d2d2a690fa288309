"""A small real server that behaves, and misbehaves, like vLLM's API server: `python engine.py serve MODEL [flags]`.

With `--ssl-certfile` and `--ssl-keyfile` it speaks HTTPS. What else it does is chosen by the environment variable
FAKE_ENGINE, a JSON object with any of:

    start_s           seconds until it listens (0)
    log               file whose lines it prints while it starts
    crash             file whose lines it prints before it exits with status 1
    exit              exit status of a crash (1); negative: the signal it sends itself
    never_healthy     it listens and /health answers 500
    answer            the text of every answer ("Paris is the capital of France.")
    no_template       chat answers 400 as vLLM does for a model without a chat template
    wedged            questions are taken and never answered
    wedge_later       as `wedged`, but only from the second question on
    refuse            questions answer 500
    finish_reason     why an answer that does not stream ended ("stop")
    refuse_plain      completions answer 500
    made              tokens that an answer which does not stream says it made (as many as were asked for)
    refuse_later      as `refuse`, but only from the second question on
    ignore_term       SIGTERM is ignored
    children          number of child processes that detach themselves: own session, re-parented
    deaf_children     these ignore SIGTERM
    clean_children    these have an empty environment and stay children
    unhealthy_file    while this file exists, /health answers 503
    follow_child      it ends when its first child does, as vLLM does
    hang_file         while this file exists, questions are taken and never answered, and the counters of /metrics stand
    word_s            seconds before each word of an answer
    die_file          once this file exists, it ends with status 1 before it listens: a restart that does not come up
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOW = json.loads(os.environ.get("FAKE_ENGINE", "{}"))
HOME = os.environ.get("SELFHOST_HOME", "")  # as an argument of who has no environment, so that tests find it
ANSWER = HOW.get("answer", "Paris is the capital of France.")
TEMPLATE = "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template"
CONTEXT = 512
questions = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self.answer(200, {"data": []})
        elif self.path == "/metrics":
            self.metrics()
        elif self.path != "/health":
            self.answer(404)
        elif HOW.get("never_healthy"):
            self.answer(500)
        else:
            gone = HOW.get("unhealthy_file")
            self.answer(503 if gone and Path(gone).exists() else 200)

    def metrics(self) -> None:
        counters = f"vllm:prompt_tokens_total {questions}.0\nvllm:generation_tokens_total {questions}.0\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(counters)))
        self.end_headers()
        self.wfile.write(counters.encode())

    def do_POST(self) -> None:
        global questions  # noqa: PLW0603 - a server of one file
        if hangs():
            time.sleep(3600)
        questions += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = self.path == "/v1/chat/completions"
        if HOW.get("wedged") or (HOW.get("wedge_later") and questions > 1):
            time.sleep(3600)
        refuse = HOW.get("refuse") or (HOW.get("refuse_plain") and not chat)
        if refuse or (HOW.get("refuse_later") and questions > 1):
            self.answer(500, {"error": {"message": "EngineCore encountered an issue"}})
        elif self.path in ("/tokenize", "/detokenize"):
            self.answer(200, count_tokens(body))
        elif chat and HOW.get("no_template"):
            self.answer(400, {"error": {"message": TEMPLATE}})
        elif body["max_tokens"] > CONTEXT:
            self.answer(
                400, {"error": {"message": f"max_tokens={body['max_tokens']} cannot be greater than {CONTEXT}"}}
            )
        elif body["model"] != "fake":
            self.answer(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
        elif body.get("stream"):
            self.stream(body, chat=chat)
        else:
            text = "".join(words(body, chat=chat))
            time.sleep(HOW.get("word_s", 0) * len(words(body, chat=chat)))
            said = {"message": {"content": text}} if chat else {"text": text}
            usage = {
                "prompt_tokens": len(str(body.get("prompt", ""))),
                "completion_tokens": HOW.get("made", body["max_tokens"]),
            }
            self.answer(200, {"choices": [{**said, "finish_reason": HOW.get("finish_reason", "stop")}], "usage": usage})

    def answer(self, status: int, value: object = None) -> None:
        data = json.dumps(value).encode() if value else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, body: dict, *, chat: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        said = words(body, chat=chat)
        for word in said:
            time.sleep(HOW.get("word_s", 0))
            piece = {"delta": {"content": word}} if chat else {"text": word}
            self.event({"choices": [piece]})
        self.event({"choices": [], "usage": {"completion_tokens": len(said)}})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, value: object) -> None:
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_args: object) -> None:
        pass


def words(body: dict, *, chat: bool) -> list[str]:
    text = f"{ANSWER} turn {sum(m['role'] == 'user' for m in body['messages'])}" if chat else f"{ANSWER} plain"
    return [word + " " for word in text.split(" ")]


def count_tokens(body: dict) -> dict:
    """A letter is a token; a chat template that puts two marks around a message."""
    if "tokens" in body:
        return {"prompt": "".join(map(chr, body["tokens"]))}
    text = "".join(f"<s>{message['content']}</s>" for message in body["messages"])
    return {"tokens": [*map(ord, text)], "count": len(text)}


class Server(ThreadingHTTPServer):
    def handle_error(self, *_args: object) -> None:
        """Who asked may go before the end of an answer."""


def hangs() -> bool:
    return bool(HOW.get("hang_file") and Path(HOW["hang_file"]).exists())


def show(name: str) -> None:
    for line in Path(name).read_text().splitlines():
        print(line, flush=True)


def child(*, deaf: bool) -> None:
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("fake engine: child is set up", flush=True)
    time.sleep(3600)


def start_children() -> list[subprocess.Popen[bytes]]:
    for _ in range(HOW.get("children", 0)):
        kind = "deaf-child" if HOW.get("deaf_children") else "child"
        # A shell in between ends at once, so that the child loses its parent; setsid takes it out of the session.
        script = f'setsid "{sys.executable}" "{__file__}" {kind} & '
        subprocess.run(["/bin/sh", "-c", script], check=True)
    clean = range(HOW.get("clean_children", 0))
    return [subprocess.Popen([sys.executable, __file__, "child", HOME], env={}) for _ in clean]


def main() -> None:
    if sys.argv[1] in ("child", "deaf-child"):
        child(deaf=sys.argv[1] == "deaf-child")
        return
    if HOW.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    children = start_children()
    print("fake engine: signals and children are set up", flush=True)
    if HOW.get("log"):
        show(HOW["log"])
    time.sleep(HOW.get("start_s", 0))
    if HOW.get("die_file") and Path(HOW["die_file"]).exists():
        sys.exit(1)
    if HOW.get("crash"):
        show(HOW["crash"])
        status = HOW.get("exit", 1)
        if status < 0:
            os.kill(os.getpid(), -status)
        sys.exit(status)
    host, port = sys.argv[sys.argv.index("--host") + 1], int(sys.argv[sys.argv.index("--port") + 1])
    server = Server((host, port), Handler)
    if "--ssl-certfile" in sys.argv:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(sys.argv[sys.argv.index(flag) + 1] for flag in ("--ssl-certfile", "--ssl-keyfile")))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    if HOW.get("follow_child") and children:
        threading.Thread(target=lambda: (children[0].wait(), os._exit(1)), daemon=True).start()
    server.serve_forever()


main()
