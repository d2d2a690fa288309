"""`replace` behind a real nginx that `selfhost gateway` configured, under load; the engines are fakes."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from selfhost.app import gateway_make
from selfhost.app.gateway_switch import Gateway
from selfhost.errors import MissingError, NoError, UsageError
from selfhost.render.gateway import key_line
from selfhost.serve import keys, ports, records
from selfhost.serve.ports import free_port
from tests.serve.replace_support import Load, Replacing

pytestmark = pytest.mark.slow

KEY = "sk-selfhost-AbC_1-x"
OTHER_USER = 2000


class Nginx:
    """A gateway's folder, and the nginx that runs from it."""

    def __init__(self, program: str, home, name: str = "tiny") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="selfhost-gateway-"))
        self.port = free_port("127.0.0.1")
        self.made = gateway_make.make(home, name, self.folder, f"127.0.0.1:{self.port}")
        self.made.keys.write_text(key_line(KEY, "alice") + "\n")
        identity = {}
        if os.geteuid() == 0:
            # As a service does, under another user than whoever replaces.
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, OTHER_USER, 0)
            identity = {"user": OTHER_USER, "group": 0, "extra_groups": []}
        argv = [program, *shlex.split(self.made.command)[1:]]
        with (self.folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(argv, stderr=stderr, cwd="/", **identity)
        until = time.monotonic() + 10
        while not (ports.is_open("127.0.0.1", self.port) and (self.folder / "nginx.pid").exists()):
            assert self.process.poll() is None, (self.folder / "stderr").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)

    @property
    def configuration(self) -> Path:
        return self.made.configuration

    def end(self) -> None:
        for worker in psutil.Process(self.process.pid).children():
            worker.resume()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        shutil.rmtree(self.folder)


@pytest.fixture
def tiny(fakes, monkeypatch):
    made = Replacing(fakes, monkeypatch)
    made.sleep, made.clock = time.sleep, time.monotonic
    return made


@pytest.fixture
def nginx(debian_tool, fakes, tiny):
    how = {"word_s": 0.02, "answer": " ".join(["Paris", *["word"] * 20])}
    fakes.detached(how)
    tiny.how(**how)
    made = Nginx(debian_tool("nginx", "nginx-light"), fakes.home)
    yield made
    made.end()


def test_no_request_fails_while_servers_take_each_other_s_place(tiny, nginx):
    load = Load(port=nginx.port, key=KEY, model="fake", streams_only=True)
    names = []
    with load.running(8):
        for _ in range(3):
            before = load.whole
            names.append(tiny.run(Gateway(nginx.configuration)).new.name)
            while load.whole < before + 16:
                time.sleep(0.02)
    assert load.failed == []
    assert load.whole > 48
    assert names == ["tiny@2", "tiny@3", "tiny@4"]
    assert tiny.states() == {"tiny@4": "ready"}
    assert nginx.made.folder.joinpath("engine.conf").stat().st_uid == nginx.folder.stat().st_uid
    assert [path.name for path in nginx.folder.glob(".*")] == []


def test_a_configuration_that_nginx_does_not_take_changes_nothing(tiny, nginx):
    before = (nginx.folder / "engine.conf").read_bytes()
    text = nginx.configuration.read_text()
    nginx.configuration.write_text(text + "nonsense;\n")
    with pytest.raises(MissingError) as caught:
        tiny.run(Gateway(nginx.configuration))
    assert caught.value.message.id == "gateway.refused"
    assert 'unknown directive "nonsense"' in caught.value.message.why
    assert (nginx.folder / "engine.conf").read_bytes() == before
    assert tiny.states() == {"tiny": "ready"}
    assert records.names(tiny.home) == ["tiny"], "nothing was started"
    with pytest.raises(MissingError):
        Gateway(nginx.configuration).point("127.0.0.1", 1)
    assert (nginx.folder / "engine.conf").read_bytes() == before
    nginx.configuration.write_text(text)
    assert tiny.run(Gateway(nginx.configuration)).new.name == "tiny@2"


def test_a_gateway_that_does_not_reload_changes_nothing(tiny, nginx):
    gateway = Gateway(nginx.configuration)
    port = gateway.port()
    nginx.process.send_signal(signal.SIGSTOP)
    clock = iter(range(0, 1000, 5))
    gateway = Gateway(nginx.configuration, clock=lambda: next(clock), sleep=lambda _s: None)
    try:
        with pytest.raises(MissingError) as caught:
            gateway.point("127.0.0.1", 1)
    finally:
        nginx.process.send_signal(signal.SIGCONT)
    assert caught.value.message.id == "gateway.no_reload"
    assert gateway.port() == port


def test_without_nginx_or_with_another_file_it_says_so(tiny, nginx, tmp_path):
    (nginx.folder / "nginx.pid").rename(nginx.folder / "hidden")
    with pytest.raises(MissingError) as caught:
        tiny.run(Gateway(nginx.configuration))
    assert caught.value.message.id == "gateway.not_running"
    assert tiny.states() == {"tiny": "ready"}
    for content in (None, "pid /run/nginx.pid;\n", ""):
        path = tmp_path / "nginx.conf"
        if content is not None:
            path.write_text(content)
        with pytest.raises(UsageError):
            Gateway(path)


def test_a_folder_that_has_a_gateway_and_a_server_that_asks_for_keys_are_refused(tiny, nginx, here):
    with pytest.raises(UsageError) as caught:
        gateway_make.make(here, "tiny", nginx.folder, "127.0.0.1:1")
    assert caught.value.message.id == "gateway.exists"
    with pytest.raises(NoError) as caught:
        gateway_make.check_scheme("tiny", "https://127.0.0.1:8000")
    assert caught.value.message.id == "gateway.tls"
    keys.new(here, "alice")
    with pytest.raises(NoError) as caught:
        tiny.run(Gateway(nginx.configuration))
    assert caught.value.message.id == "gateway.two_doors"
    assert tiny.states() == {"tiny": "ready"}
