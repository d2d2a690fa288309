"""Images really built by buildah and started: on a base of Debian's packages, in namespaces, with a real model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from selfhost import __version__
from tests.conftest import missing
from tests.e2e.container import Container
from tests.e2e.test_e2e_serve_directory import selfhost

pytestmark = pytest.mark.e2e

BASE = "localhost/standin:bookworm"
PACKAGES = "python3,python3-venv,ca-certificates,libgomp1,libnuma1"
MOST_BYTES = 3_000_000_000


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """An image of Debian's packages in a container store of these tests alone, which goes with them."""
    if not os.environ.get("SELFHOST_TEST_IMAGES"):
        pytest.skip("builds images of 3 GB in ten minutes: `make images`")
    for tool, package in (("buildah", "buildah"), ("mmdebstrap", "mmdebstrap"), ("crun", "crun")):
        if os.geteuid() != 0 or shutil.which(tool) is None:
            missing(f"`{tool}`, as root", f"install the Debian package {package}")
    work = tmp_path_factory.mktemp("containers")
    config = work / "storage.conf"
    config.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{work / "graph"}"\nrunroot = "{work / "run"}"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_STORAGE_CONF", str(config))
        archive = work / "base.tar"
        keep_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *keep_out, "bookworm", str(archive))
        made = run("buildah", "from", "scratch")
        run("buildah", "add", made, str(archive), "/")
        run("buildah", "commit", "--timestamp", "0", made, BASE)
        run("buildah", "rm", made)
        archive.unlink()
        yield BASE
        run("buildah", "rm", "--all")
        run("buildah", "rmi", "--all", "--force")
    shutil.rmtree(work)


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout.strip()


def build(name: str, *words: str) -> dict:
    done = selfhost(
        "image",
        "build",
        name,
        "--with",
        "buildah",
        "--isolation",
        "chroot",
        "--base",
        BASE,
        "--json",
        *words,
        seconds=1500,
    )
    (made,) = json.loads(done.stdout)["images"]
    return made


def mounted(reference: str) -> tuple[Path, dict]:
    """Where an image's files are, and its configuration."""
    config = json.loads(run("buildah", "inspect", "--type", "image", reference))["Docker"]["config"]
    return Path(run("buildah", "mount", run("buildah", "from", "--pull-never", reference))), config


def test_the_cpu_image_is_built_and_serves_under_any_uid(base, engine_home, tmp_path, debian_tool):
    debian_tool("ip", "iproute2")
    selfhost("pull", "smollm2-135m")
    made = build("cpu", "--sbom", str(tmp_path / "sbom.json"))
    assert made["reference"] == f"localhost/selfhost-cpu:{__version__}"
    assert made["size_bytes"] < MOST_BYTES
    print(f"image: {made['size_bytes'] / 1e9:.2f} GB unpacked")
    assert json.loads(selfhost("image", "ls", "--with", "buildah", "--json").stdout)["images"] == [made]

    files, config = mounted(made["reference"])
    assert config["User"] == "2000:0"
    assert "/health" in " ".join(config["Healthcheck"]["Test"])
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert (files / "usr/share/selfhost/sbom.cdx.json").read_bytes() == (tmp_path / "sbom.json").read_bytes()
    key = selfhost("key", "new", "tester").stdout.strip()
    for uid in (2000, 1_234_567):
        serve(files, config, store=engine_home, work=tmp_path / str(uid), uid=uid, key=key)


def serve(files: Path, config: dict, *, store: Path, work: Path, uid: int, key: str) -> None:
    """Start it with a store mounted read-only, ask it, stop it."""
    state, cache = work / "state", work / "cache"
    for folder in (state / "models", state / "blobs", state / "keys", cache):
        folder.mkdir(parents=True)
    for folder in (state, cache):
        os.chown(folder, uid, 0)
    keys = work / "keys"
    shutil.copytree(store / "keys", keys)
    for path in (keys, *keys.iterdir()):  # group 0 may read them
        path.chmod(0o750)
    mounts = {"/var/lib/selfhost": (state, True), "/var/cache/selfhost": (cache, True)}
    mounts |= {f"/var/lib/selfhost/{name}": (store / name, False) for name in ("models", "blobs")}
    mounts |= {"/var/lib/selfhost/keys": (keys, False)}
    container = Container(files, work, config, mounts, uid)
    question = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
    question |= {"model": "smollm2-135m", "max_tokens": 30}
    words = ("smollm2-135m", "--offline", "--host", "0.0.0.0", "--port", "8000", "--max-model-len", "1024")
    with container.start(*words):
        container.wait_ready(180)
        first = container.first
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{first.pid}/status").read_text().splitlines())
        assert status["NSpid"].split()[-1] == "1"
        assert status["Uid"].split() == [str(uid)] * 4
        assert (int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, "1")
        assert container.ask("/health")[0] == 200
        assert container.ask("/v1/chat/completions", question)[0] == 401
        answered, body = container.ask("/v1/chat/completions", question, key)
        assert answered == 200, body
        assert "Paris" in body
        leave_an_orphan(first.pid)
        assert [p for p in first.children(recursive=True) if p.status() == "zombie"] == []
        first.send_signal(signal.SIGTERM)
        assert container.wait(60) == 143, container.said()
    assert "no process of it is left" in container.said()


def leave_an_orphan(pid: int) -> None:
    """Give the container's first process a child that ends; back once that was waited for."""
    before = children(pid)
    command = ["nsenter", f"--target={pid}", "--pid", "setsid", "sh", "-c", "sleep 1 &"]
    subprocess.run(command, check=True)
    until = time.monotonic() + 10
    while children(pid) != before:
        assert time.monotonic() < until, "an orphan was not reaped"
        time.sleep(0.1)


def children(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def layers(reference: str) -> list[str]:
    manifest = json.loads(run("buildah", "inspect", "--type", "image", "--format", "{{.Manifest}}", reference))
    return [layer["digest"] for layer in manifest["layers"]]


@pytest.mark.parametrize("name", ["cuda", "ascend"])
def test_the_stages_of_a_vendor_image_are_built_on_a_stand_in_and_again_the_same(name, base, home):
    # The stand-in's Python is Debian's; vendors have 3.12.
    words = ("--python", "3.11")
    first = build(name, *words)
    files, config = mounted(first["reference"])
    assert config["User"] == "2000:0"
    assert config["Entrypoint"][-1] == "serve"
    said = run("chroot", str(files), "/usr/local/bin/selfhost", "--version")
    assert said == f"selfhost {__version__}"
    users = (files / "etc/passwd").read_text().splitlines()
    assert [line for line in users if line.split(":")[2:4] == ["2000", "0"]]
    if name == "ascend":
        groups = [line.split(":") for line in (files / "etc/group").read_text().splitlines()]
        assert [group[3] for group in groups if group[2] == "1000"] == ["selfhost"]
    before = layers(first["reference"])
    run("buildah", "rm", "--all")
    # The manifest's digest changes: buildah writes the host name of the container that it builds in into the
    # configuration of Docker's format. What is carried does not change.
    assert layers(build(name, *words)["reference"]) == before
