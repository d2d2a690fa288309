"""`replace` behind a real nginx that `selfhost gateway` configured, under load; the engines are fakes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from selfhost.app import gateway_make, serve, serve_tools, servers
from selfhost.app.gateway_switch import Gateway
from selfhost.cli import main as cli
from selfhost.errors import MissingError, NoError, UsageError
from selfhost.render.gateway import key_line
from selfhost.serve import keys, ports, records
from tests.serve.replace_support import Load, Replacing
from tests.serve.serve_support import QUICK

pytestmark = pytest.mark.slow

KEY = "sk-selfhost-AbC_1-x"
OTHER_USER = 2000


class Nginx:
    """A gateway's folder, and the nginx that runs from it."""

    def __init__(self, program: str, home, name: str = "tiny") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="selfhost-gateway-"))
        # Below the ports that connections get by themselves: one of these may be gone before nginx binds it.
        self.port = ports.next_free_port("127.0.0.1", 20000 + os.getpid() % 10000) or 0
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
    load = Load(port=nginx.port, key=KEY, model="fake")
    names = []
    with load.running(8):
        for _ in range(3):
            before = load.whole
            names.append(tiny.run(Gateway(nginx.configuration)).new.name)
            while load.whole < before + 16:
                time.sleep(0.02)
    print(f"{load.whole} whole, {len(load.failed)} failed, {load.again} asked again on a kept connection that closed")
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


def typed(capsys, *words: str) -> tuple[int, str, str]:
    """A command in this process: exit code, stdout, stderr."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_as_a_user_types_it(tiny, nginx, monkeypatch, capsys, tmp_path):
    def tools(_home, python, _talk, recipe_paths, _accept, version):
        assert (python, recipe_paths, version) == (None, [], None)
        return tiny.tools(None)

    monkeypatch.setattr(serve_tools, "real_tools", tools)
    monkeypatch.setattr(serve, "limits_of", lambda _plan: QUICK)
    code, out, err = typed(capsys, "gateway", "tiny", str(tmp_path / "front"), "--listen", "127.0.0.1:9")
    assert (code, out) == (0, f"{tmp_path}/front/nginx.conf\n")
    assert "selfhost key new NAME --gateway" in err
    assert stat.S_IMODE((tmp_path / "front" / "keys" / "keys.conf").stat().st_mode) == 0o600

    code, out, err = typed(capsys, "replace", "tiny", "--gateway", str(nginx.configuration), "--json")
    told = json.loads(out)
    assert (code, told["replaced"], told["server"]["name"], told["behind_gateway"]) == (0, "tiny", "tiny@2", True)
    assert "new requests go to tiny@2" in err
    assert Gateway(nginx.configuration).port() == told["server"]["port"]

    code, out, err = typed(capsys, "replace", "tiny")
    assert (code, out) == (0, servers.find_server(tiny.home, "tiny").record.url + "\n")
    assert "its address is another one now" in err
    code, out, _ = typed(capsys, "stop", "tiny")
    assert (code, out.startswith("tiny@3 stopped: ")) == (0, True)
    code, out, err = typed(capsys, "replace", "tiny", "--json")
    assert (code, json.loads(out)["error"]["id"]) == (3, "replace.not_serving")
