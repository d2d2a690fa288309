"""What others say about the rendered files: the schema of compose, systemd itself, the keys that podman reads."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.conftest import missing
from tests.render import golden

COMPOSE = sorted(golden.DATA.rglob("compose.yaml"))
UNITS = sorted(golden.DATA.rglob("systemd/**/*.service"))
QUADLETS = sorted(path for kind in ("container", "volume", "network") for path in golden.DATA.rglob(f"*.{kind}"))
CONTAINERS = [path for path in QUADLETS if path.suffix == ".container"]
EXPOSURE = 2.0
"""Of `systemd-analyze security`, from 0 to 10: what no unit may exceed."""

KEYS = {
    "4.4": {
        "Container": (
            "AddCapability AddDevice Annotation ContainerName DropCapability Environment EnvironmentFile "
            "EnvironmentHost Exec ExposeHostPort Group Image Label Network NoNewPrivileges Notify PodmanArgs "
            "PublishPort ReadOnly RemapGid RemapUid RemapUidSize RemapUsers RunInit SeccompProfile Secret "
            "SecurityLabelDisable SecurityLabelFileType SecurityLabelLevel SecurityLabelType Timezone Tmpfs User "
            "UserNS VolatileTmp Volume"
        ),
        "Volume": "Copy Device Group Label Options Type User",
        "Network": "DisableDNS Driver Gateway Internal IPAMDriver IPRange IPv6 Label Options Subnet",
    },
    "4.5": {
        "Container": (
            "HealthCmd HealthInterval HealthOnFailure HealthRetries HealthStartPeriod HealthStartupCmd "
            "HealthStartupInterval HealthStartupRetries HealthStartupSuccess HealthStartupTimeout HealthTimeout "
            "HostName IP IP6 LogDriver Mount Rootfs"
        )
    },
    "4.6": {"Container": "AutoUpdate Mask Pull Sysctl Unmask WorkingDir"},
    "4.7": {
        "Container": "DNS DNSOption DNSSearch PidsLimit SecurityLabelNested ShmSize Ulimit",
        "Volume": "PodmanArgs VolumeName",
        "Network": "NetworkName PodmanArgs",
    },
    "4.8": {"Container": "GIDMap ReadOnlyTmpfs SubGIDMap SubUIDMap UIDMap"},
    "5.0": {"Container": "Entrypoint StopTimeout"},
}
"""Podman's version -> what it was the first to read. Source: podman-systemd.unit(5) of these versions."""


def allowed(section):
    return {name for keys in KEYS.values() for name in keys.get(section, "").split()}


@pytest.fixture
def schema():
    python = os.environ.get("SELFHOST_TEST_VALIDATORS_PYTHON")
    if not python:
        missing(
            "check-jsonschema",
            "`pip install check-jsonschema==0.39.0` into an environment of its own, name its Python in "
            "SELFHOST_TEST_VALIDATORS_PYTHON",
        )
    program = str(Path(python).with_name("check-jsonschema"))

    def check(*paths):
        argv = [program, "--builtin-schema", "vendor.compose-spec", *map(str, paths)]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    return check


@pytest.mark.slow
def test_the_schema_of_compose_takes_all_files_and_would_not_take_a_misspelt_key(schema, tmp_path):
    assert COMPOSE
    done = schema(*COMPOSE)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE[0].read_text().replace("stop_grace_period", "stop_grace"))
    assert schema(wrong).returncode == 1


@pytest.fixture
def podman_compose(tmp_path_factory):
    python = os.environ.get("SELFHOST_TEST_VALIDATORS_PYTHON")
    program = Path(python).with_name("podman-compose") if python else None
    if program is None or not program.exists():
        missing(
            "podman-compose",
            "`pip install podman-compose==1.6.0` into the environment that SELFHOST_TEST_VALIDATORS_PYTHON names",
        )

    # Even a dry run asks podman for its version and for what runs; that it is installed is not needed.
    folder = tmp_path_factory.mktemp("podman")
    answers = "--version) echo podman version 4.3.1;; ps) echo '[]';; *) exit 1;;"
    (folder / "podman").write_text(f'#!/bin/sh\ncase "$1" in {answers} esac\n')
    (folder / "podman").chmod(0o755)

    def run(path, *words):
        argv = [program, "--dry-run", "-f", path, *words]
        own = dict.fromkeys(("FIRST_NODE", "THIS_NODE", "INTERFACE"), "10.0.0.1")
        own["PATH"] = f"{folder}:{os.environ['PATH']}"
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=os.environ | own)

    return run


@pytest.mark.slow
def test_podman_compose_reads_all_files(podman_compose):
    for path in COMPOSE:
        done = podman_compose(path, "config")
        assert done.returncode == 0, done.stderr
        said, meant = (yaml.safe_load(text)["services"] for text in (done.stdout, path.read_text()))
        for name in meant:
            assert said[name]["volumes"] == meant[name]["volumes"]


@pytest.mark.slow
def test_a_path_that_is_not_there_is_told_and_not_made(podman_compose, tmp_path):
    text = (golden.DATA / "smollm2-cpu" / "compose" / "compose.yaml").read_text()
    (tmp_path / "compose.yaml").write_text(text.replace("/srv/selfhost", f"{tmp_path}/typo"))
    done = podman_compose(tmp_path / "compose.yaml", "up", "-d")
    assert done.returncode
    assert f"bind source path does not exist: {tmp_path}/typo/models" in done.stderr
    assert not (tmp_path / "typo").exists()


@pytest.fixture
def verify(debian_tool, tmp_path):
    analyze = debian_tool("systemd-analyze", "systemd")

    def verify(text, name="some.service"):
        """What systemd says about a unit whose programs are there."""
        made = re.sub(r"/opt/selfhost/(bin/selfhost|engine/bin/vllm)", "/bin/true", text)
        made = made.replace("/opt/selfhost/bin/python3", sys.executable).replace("/usr/sbin/nginx", "/bin/true")
        path = tmp_path / name
        path.write_text(made)
        said = subprocess.run([analyze, "verify", str(path)], capture_output=True, text=True, check=False)
        rated = subprocess.run(
            [analyze, "security", "--offline=true", "--no-pager", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        return said.stderr, float(re.search(r"exposure level for \S+ ([0-9.]+)", rated.stdout)[1])

    return verify


@pytest.mark.slow
@pytest.mark.parametrize("path", UNITS, ids=[str(path.relative_to(golden.DATA)) for path in UNITS])
def test_systemd_has_nothing_to_say_about_a_unit_and_rates_it_as_safe(verify, path):
    said, exposure = verify(path.read_text(), path.name)
    assert not said
    assert exposure <= EXPOSURE


@pytest.mark.slow
def test_systemd_would_say_something_about_a_misspelt_key_and_rate_an_open_unit_higher(verify):
    text = UNITS[0].read_text()
    assert "KilMode" in verify(text.replace("KillMode=", "KilMode="))[0]
    assert verify(text.replace("CapabilityBoundingSet=\n", "").replace("ProtectSystem=strict\n", ""))[1] > EXPOSURE


def sections(text):
    found = {}
    for line in text.splitlines():
        if line.startswith("["):
            found[here := line.strip("[]")] = []
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found[here].append((key, value))
    return found


@pytest.mark.parametrize("path", QUADLETS, ids=[str(path.relative_to(golden.DATA)) for path in QUADLETS])
def test_podman_5_reads_every_key_of_a_quadlet_file(path):
    found = sections(path.read_text())
    kind = path.suffix[1:].capitalize()
    assert kind in found
    assert {key for key, _ in found[kind]} <= allowed(kind)
    assert set(found) <= {"Unit", "Service", "Install", kind}


def test_what_the_readme_says_about_podman_is_what_the_keys_need():
    used = {key for path in CONTAINERS for key, _ in sections(path.read_text())["Container"]}
    newest = max(version for version, keys in KEYS.items() if used & set(keys.get("Container", "").split()))
    readmes = [path.read_text() for path in golden.DATA.rglob("quadlet/README.md")]
    assert readmes
    assert all(f"podman {newest} or newer" in text for text in readmes)


@pytest.mark.slow
@pytest.mark.parametrize("path", CONTAINERS, ids=[str(path.relative_to(golden.DATA)) for path in CONTAINERS])
def test_systemd_takes_what_quadlet_hands_on(verify, path):
    """The sections that are not podman's, around a command that stands for it."""
    kept = {name: keys for name, keys in sections(path.read_text()).items() if name != "Container"}
    kept["Service"] = [("ExecStart", "/bin/true"), *kept["Service"]]
    text = "".join(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys) for name, keys in kept.items())
    text = re.sub(r"(?m)^(BindsTo|After|WantedBy)=.*\.service.*\n", "", text)
    assert not verify(text)[0]


@pytest.mark.slow
def test_podmans_own_generator_takes_the_files_where_it_is(tmp_path):
    generator = Path("/usr/lib/systemd/system-generators/podman-system-generator")
    if not generator.exists():
        pytest.skip("podman here is older than quadlet: its generator is not installed")
    for folder in sorted({path.parent for path in QUADLETS}):
        environment = {"QUADLET_UNIT_DIRS": str(folder)}
        done = subprocess.run([generator, "--dryrun"], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "unsupported key" not in done.stderr


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_a_unit_is_started_once_its_engine_answers_and_fails_when_that_ended():
    (line,) = re.findall(
        r"(?m)^ExecStartPost=(.*)$", (golden.DATA / "smollm2-cpu/systemd/smollm2-135m.service").read_text()
    )
    words = [word.replace("\\n", "\n") for word in shlex.split(line)]
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        code, url = words[2], f"http://127.0.0.1:{server.server_port}/health"
        ready = subprocess.run([sys.executable, "-c", code, str(os.getpid()), url], check=False, timeout=60)
    finally:
        server.shutdown()
        server.server_close()
    gone = [sys.executable, "-c", code, "999999999", url]
    ended = subprocess.run(gone, check=False, capture_output=True, text=True, timeout=60)
    assert (ready.returncode, ended.returncode, ended.stderr) == (0, 1, "the engine ended\n")
    assert words[3:] == ["$MAINPID", "http://127.0.0.1:8000/health"]
