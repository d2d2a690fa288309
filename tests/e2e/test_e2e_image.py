"""Images really built by buildah and started: on a base of Debian's packages, in namespaces, with a real model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from selfhost import __version__
from selfhost.serve.times import stop_grace_s
from tests.conftest import missing
from tests.e2e.container import BuildahContainer, Container
from tests.e2e.test_e2e_serve_directory import selfhost

pytestmark = pytest.mark.e2e

BASE = "localhost/standin:bookworm"
PACKAGES = "python3,python3-venv,ca-certificates,libgomp1,libnuma1"
MOST_BYTES = 3_000_000_000
SERVE = ("smollm2-135m", "--offline", "--host", "0.0.0.0", "--port", "8000", "--max-model-len", "1024")
LONG_TOKENS = 300
DRAIN_S = 60


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


@pytest.fixture(scope="session")
def cpu_image(base, tmp_path_factory):
    """The CPU image as `image build` tells of it, and the bill of materials that it wrote."""
    work = tmp_path_factory.mktemp("cpu-image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFHOST_HOME", str(work / "home"))
        return build("cpu", "--sbom", str(work / "sbom.json")), work / "sbom.json"


@pytest.fixture(scope="session")
def store(base, engine_python, tmp_path_factory):
    """A store with the model and a key: its place, and the key."""
    root = tmp_path_factory.mktemp("store")
    (root / "engines").mkdir()
    (root / "engines" / "cpu").symlink_to(engine_python.parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFHOST_HOME", str(root))
        selfhost("pull", "smollm2-135m")
        return root, selfhost("key", "new", "tester").stdout.strip()


def test_the_cpu_image_is_built_and_serves_under_any_uid(cpu_image, store, tmp_path, debian_tool):
    debian_tool("ip", "iproute2")
    made, bill = cpu_image
    assert made["reference"] == f"localhost/selfhost-cpu:{__version__}"
    assert made["size_bytes"] < MOST_BYTES
    print(f"image: {made['size_bytes'] / 1e9:.2f} GB unpacked")
    assert made in json.loads(selfhost("image", "ls", "--with", "buildah", "--json").stdout)["images"]

    files, config = mounted(made["reference"])
    assert config["User"] == "2000:0"
    assert "/health" in " ".join(config["Healthcheck"]["Test"])
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert (files / "usr/share/selfhost/sbom.cdx.json").read_bytes() == bill.read_bytes()
    root, key = store
    for uid in (2000, 1_234_567):
        work = tmp_path / str(uid)
        with Container(files, work, config, mounts(root, work, uid), uid).start(*SERVE) as container:
            container.wait_ready(180)
            first = container.first
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{first.pid}/status").read_text().splitlines())
            assert status["NSpid"].split()[-1] == "1"
            assert status["Uid"].split() == [str(uid)] * 4
            assert (int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, "1")
            ask(container, key)
            leave_an_orphan(first.pid)
            assert [p for p in first.children(recursive=True) if p.status() == "zombie"] == []
            first.send_signal(signal.SIGTERM)
            assert container.wait(60) == 143, container.said()
        assert "no process of it is left" in container.said()


def test_buildah_runs_the_cpu_image_and_term_lets_an_answer_finish(cpu_image, store, tmp_path, debian_tool):
    debian_tool("ip", "iproute2")
    reference, (root, key) = cpu_image[0]["reference"], store
    name = run("buildah", "from", "--pull-never", reference)
    config = json.loads(run("buildah", "inspect", "--type", "image", reference))["Docker"]["config"]
    container = BuildahContainer(name, tmp_path, config, mounts(root, tmp_path, 2000), 2000)
    with container.start(*SERVE, "--", "--shutdown-timeout", str(DRAIN_S)):
        container.wait_ready(180)
        tree = [container.first, *container.first.children(recursive=True)]
        assert {uids.real for uids in (process.uids() for process in tree)} == {2000}
        lines = Path(f"/proc/{container.first.pid}/mountinfo").read_text().splitlines()
        (options,) = [line.split()[5] for line in lines if line.split()[4].endswith("/var/lib/selfhost/models")]
        assert "ro" in options.split(",")
        ask(container, key)
        drain(container, key)
        assert container.wait(stop_grace_s(DRAIN_S)) == 143, container.said()
    assert "no process of it is left" in container.said()
    assert psutil.wait_procs(tree, 10)[1] == []


def mounts(store: Path, work: Path, uid: int) -> dict[str, tuple[Path, bool]]:
    """State and caches of a user's own; models and keys of a store, to read."""
    state, cache = work / "state", work / "cache"
    for folder in (state / "models", state / "blobs", state / "keys", cache):
        folder.mkdir(parents=True)
    for folder in (state, cache):
        os.chown(folder, uid, 0)
    keys = work / "keys"
    shutil.copytree(store / "keys", keys)
    for path in (keys, *keys.iterdir()):  # group 0 may read them
        path.chmod(0o750)
    found = {"/var/lib/selfhost": (state, True), "/var/cache/selfhost": (cache, True)}
    found |= {f"/var/lib/selfhost/{name}": (store / name, False) for name in ("models", "blobs")}
    return found | {"/var/lib/selfhost/keys": (keys, False)}


def ask(container: Container, key: str) -> None:
    """It lives, wants a key, and knows the answer."""
    question = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
    question |= {"model": "smollm2-135m", "max_tokens": 30}
    assert container.ask("/health")[0] == 200
    assert container.ask("/v1/chat/completions", question)[0] == 401
    answered, body = container.ask("/v1/chat/completions", question, key)
    assert answered == 200, body
    assert "Paris" in body


def drain(container: Container, key: str) -> None:
    """TERM in the midst of an answer: it comes to its end, and nobody else gets one."""
    short = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 1}
    long = short | {"max_tokens": LONG_TOKENS, "ignore_eos": True, "stream": True}
    with container.open("/v1/chat/completions", long | {"stream_options": {"include_usage": True}}, key) as answer:
        lines = [next(answer.stdout) for _ in range(20)]
        container.first.send_signal(signal.SIGTERM)
        until = time.monotonic() + 10
        while (status := container.ask("/v1/chat/completions", short, key)[0]) == 200:
            assert time.monotonic() < until, "new requests are answered"
        assert answer.poll() is None, "the answer was over too soon to tell"
        assert status in {500, 503}
        assert container.ask("/v1/chat/completions", short, key)[0] == status
        lines += answer.stdout.read().split("\n")
    told = [line.removeprefix("data: ").strip() for line in lines if line.strip()]
    assert told[-2:] == ["[DONE]", "200"]
    events = [json.loads(line) for line in told[:-2]]
    assert events[-1]["usage"]["completion_tokens"] == LONG_TOKENS
    ends = [choice["finish_reason"] for event in events for choice in event["choices"] if choice["finish_reason"]]
    assert ends == ["length"]


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


def test_the_image_that_quantizes_is_built_without_a_network_and_works_as_its_user(base, home):
    made = build("quantize-cpu")
    print(f"image: {made['size_bytes'] / 1e9:.2f} GB unpacked")
    name = run("buildah", "from", "--pull-never", made["reference"])
    config = json.loads(run("buildah", "inspect", "--type", "image", made["reference"]))["Docker"]["config"]
    assert (config["User"], config["Entrypoint"][-1]) == ("2000:0", "quantize")
    assert not config.get("Healthcheck")
    within = ("buildah", "run", "--isolation", "chroot", name, "--", "selfhost", "engine")
    told = json.loads(run(*within, "check", "quantize", "--json"))
    assert (told["install"], told["kernels"]) == ("quantize-cpu", "libbitsandbytes_cpu.so")


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
