"""Container images go along as they are: the digest that leaves is the digest that arrives, whoever reads it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from selfhost.app import bundle_images
from selfhost.app.bundle_request import CreateRequest
from selfhost.bundle import image_load, image_store, images, layout
from selfhost.bundle.image_store import folder_name, open_image
from selfhost.bundle.modelpack import IndexEntry
from selfhost.errors import ExitCode, IncompleteError, IntegrityError, TrustError, UsageError
from selfhost.home import Home
from tests.bundle.image_support import INDEX, MANIFEST, NAME, PLATFORMS, Layout, make_image, sha
from tests.bundle.unpack_support import run, snapshot
from tests.weights.storage_support import put, tiny_files


@pytest.fixture
def made(tmp_path):
    return make_image(tmp_path / "engine")


def create(home: Path, medium: Path, *words: object) -> list[Path]:
    medium.mkdir(exist_ok=True)
    os.environ["SELFHOST_HOME"] = str(home)
    code, _, said = run("bundle", "create", "--to", medium, "--label", "b", *words)
    assert code == 0, said
    return sorted(medium.iterdir())


@pytest.fixture(autouse=True)
def _home_as_before(home, monkeypatch):
    """`create` and `succeeds` name a home of their own."""
    monkeypatch.setenv("SELFHOST_HOME", os.environ["SELFHOST_HOME"])


@pytest.fixture
def far(tmp_path, monkeypatch):
    """The home on the other side; commands use it once it is named."""
    home = Home(tmp_path / "far")
    monkeypatch.setenv("SELFHOST_HOME", str(home.root))
    return home


def succeeds(home: Home, *words: object) -> str:
    os.environ["SELFHOST_HOME"] = str(home.root)
    code, out, said = run(*words)
    assert code == 0, said
    return out


def blobs_of(root: Path) -> set[str]:
    return {path.name for path in (root / layout.BLOBS).iterdir()}


@pytest.fixture
def skopeo(debian_tool):
    tool = debian_tool("skopeo", "skopeo")

    def run_it(*words: object) -> str:
        done = subprocess.run([tool, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_it


# There and in


@pytest.mark.parametrize("words", [(), ("--link", "copy"), ("--volume-size", "1200K", "--link", "copy")], ids=str)
def test_an_image_crosses_with_a_model_and_keeps_its_digests(tmp_path, home, far, made, words):
    put(home, tiny_files(b"\1" * 60_000))
    volumes = create(home, tmp_path / "medium", "--model", "tiny", "--image", f"oci:{made.root}:{NAME}", *words)
    before = snapshot(*volumes)
    succeeds(far, "bundle", "verify", *volumes)
    [told] = json.loads(succeeds(far, "bundle", "inspect", *volumes, "--json"))["images"]
    assert (told["name"], told["platforms"]) == (NAME, ["linux/amd64", "linux/arm64/v8"])
    assert f"sha256:{told['digest'][7:]}" == made.entries[0]["digest"]
    body = json.loads(succeeds(far, "bundle", "import", *volumes, "--json"))
    [image] = body["images"]
    assert image["digest"] == made.entries[0]["digest"]
    assert blobs_of(Path(image["path"])) == blobs_of(made.root)
    for name in blobs_of(made.root):
        assert sha((Path(image["path"]) / layout.BLOBS / name).read_bytes()) == name
    assert snapshot(*volumes) == before
    for volume in volumes:
        assert subprocess.run(["python3", volume / "verify.py"], check=False, capture_output=True).returncode == 0


def test_an_image_is_reason_enough_for_a_bundle(tmp_path, home, far, made):
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{made.root}")
    body = json.loads(succeeds(far, "bundle", "import", *volumes, "--json"))
    assert (body["models"], len(body["images"])) == ([], 1)
    start = (volumes[0] / layout.START_NAME).read_text()
    assert "Container images, with all that is needed" in start
    assert NAME in start
    assert NAME in succeeds(far, "ls")
    assert json.loads(succeeds(far, "ls", "--json"))["images"][0]["path"] == body["images"][0]["path"]
    bill = json.loads((Path(body["images"][0]["path"]) / "index.json").read_text())
    assert bill["manifests"][0]["annotations"]["io.containerd.image.name"] == NAME


def test_without_a_label_a_bundle_is_called_after_its_image(tmp_path, home, made):
    (tmp_path / "medium").mkdir()
    words = ("bundle", "create", "--image", f"oci:{made.root}", "--to", tmp_path / "medium")
    code, out, _ = run(*words)
    assert code == 0
    assert Path(out.strip()).name.startswith("engine-1.0-20")


def test_an_engine_is_reason_enough_too(tmp_path, home, monkeypatch):
    from selfhost.app import bundle_create, bundle_gather
    from selfhost.app.bundle_gather import Gathered, PackedWheels
    from selfhost.engines.specs import CPU

    def wheelhouse(spec, _folder, _machine, _filled):
        assert spec is CPU
        return Gathered(artifacts=(), contents=(), wheels=(PackedWheels(CPU, ()),))

    monkeypatch.setattr(bundle_gather, "wheelhouse", wheelhouse)
    request = CreateRequest(models=(), to=(tmp_path,), engine="cpu", wheelhouse=tmp_path)
    assert bundle_create.plan(request, Home(home)).bundle.label.startswith("vllm-cpu-20")


def test_nothing_is_no_bundle(tmp_path, home):
    code, _, said = run("bundle", "create", "--to", tmp_path)
    assert code == ExitCode.USAGE
    assert "--image" in said
    assert run("bundle", "create", "--to", tmp_path, "--engine", "none", "--platform", "linux/arm64")[0] == 2


def test_one_platform_of_several(tmp_path, home, far, made):
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{made.root}", "--platform", "linux/arm64")
    [image] = json.loads(succeeds(far, "bundle", "import", *volumes, "--json"))["images"]
    index = json.loads((made.root / layout.BLOBS / made.entries[0]["digest"][7:]).read_text())
    assert image["digest"] == index["manifests"][1]["digest"]
    assert image["platforms"] == ["linux/arm64/v8"]
    assert len(blobs_of(Path(image["path"]))) == 3
    code, _, said = run(
        "bundle", "create", "--to", tmp_path, "--image", f"oci:{made.root}", "--platform", "linux/s390x"
    )
    assert (code, "linux/arm64/v8" in said) == (2, True)


def test_gc_leaves_images_and_a_later_bundle_carries_only_what_is_new(tmp_path, home, far, made):
    put(home, tiny_files())
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{made.root}", "--model", "tiny")
    [image] = json.loads(succeeds(far, "bundle", "import", *volumes, "--json"))["images"]
    succeeds(far, "gc")
    assert {sha(p.read_bytes()) for p in (Path(image["path"]) / layout.BLOBS).iterdir()} == blobs_of(made.root)
    said = succeeds(far, "bundle", "inventory")
    assert json.loads(said)["images"][0]["name"] == NAME
    (tmp_path / "have.json").write_text(said)
    # The next version: one platform has another layer.
    newer = make_image(tmp_path / "newer", more=b"")
    index = json.loads((newer.root / layout.BLOBS / newer.entries.pop()["digest"][7:]).read_text())
    index["manifests"][0] = newer.manifest(PLATFORMS[0], {"bin/engine": b"new" * 1000})
    newer.add(newer.json(INDEX, index), NAME)
    words = ("--image", f"oci:{newer.root}", "--have", tmp_path / "have.json", "--link", "copy")
    small = create(home, tmp_path / "delta", *words)
    assert sum(p.stat().st_size for p in (small[0] / layout.BLOBS).iterdir()) < 30_000
    [image] = json.loads(succeeds(far, "bundle", "import", *small, "--json"))["images"]
    assert image["digest"] == newer.entries[0]["digest"]
    assert {sha(p.read_bytes()) for p in (Path(image["path"]) / layout.BLOBS).iterdir()} == blobs_of(
        Path(image["path"])
    )
    assert len(list(far.images.iterdir())) - len(list(far.images.glob(".*"))) == 1


def test_a_large_layer_comes_in_pieces_where_the_medium_wants_it(tmp_path, home, far, made, monkeypatch):
    monkeypatch.setattr("selfhost.bundle.file_system.max_file_bytes", lambda _path: 20_000)
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{made.root}")
    assert list((volumes[0] / layout.CHUNKS).iterdir())
    [image] = json.loads(succeeds(far, "bundle", "import", *volumes, "--json"))["images"]
    assert blobs_of(Path(image["path"])) == blobs_of(made.root)


def test_the_bill_of_materials_names_it(tmp_path, home, made):
    from selfhost.app import bundle_create

    request = CreateRequest(models=(), to=(tmp_path,), images=(f"oci:{made.root}",), label="b")
    contents = bundle_create.plan(request, Home(home)).bundle.volumes[0].contents
    bills = [json.loads(one.data) for one in contents if b'"CycloneDX"' in one.data]
    [component] = [one for one in bills[0]["components"] if one["type"] == "container"]
    assert component["hashes"] == [{"alg": "SHA-256", "content": made.entries[0]["digest"][7:]}]
    assert (component["name"], component["version"]) == ("registry.example/team/engine", "1.0")


# Somebody else's reader


def test_skopeo_reads_the_volume_and_the_imported_image(tmp_path, home, far, made, skopeo):
    put(home, tiny_files())
    [volume] = create(home, tmp_path / "medium", "--model", "tiny", "--image", f"oci:{made.root}")
    raw = skopeo("inspect", "--raw", f"oci:{volume}:{NAME}")
    assert sha(raw.encode()) == made.entries[0]["digest"][7:]
    [image] = json.loads(succeeds(far, "bundle", "import", volume, "--json"))["images"]
    skopeo("copy", "--all", "--quiet", f"oci:{image['path']}", f"oci:{tmp_path / 'out'}:x")
    assert blobs_of(tmp_path / "out") == blobs_of(made.root)


def test_a_layout_by_skopeo_is_taken(tmp_path, home, far, made, skopeo):
    skopeo("copy", "--all", "--quiet", f"oci:{made.root}", f"oci:{tmp_path / 'theirs'}:2.0")
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{tmp_path / 'theirs'}:2.0")
    [image] = json.loads(succeeds(far, "bundle", "import", *volumes, "--json"))["images"]
    assert image["name"] == "theirs:2.0"


# Which image


def test_which_image_is_meant(tmp_path, made):
    made.add(made.manifest(PLATFORMS[0], {"other": b"1"}), "other/name:2")
    with pytest.raises(UsageError) as caught:
        open_image(f"oci:{made.root}", None)
    assert "other/name:2" in caught.value.message.why
    assert open_image(f"oci:{made.root}:other/name:2", None).image.platforms == ("linux/amd64",)
    with pytest.raises(UsageError):
        open_image(f"oci:{made.root}:nobody", None)


@pytest.mark.parametrize("given", ["oci:", "oci:/nowhere", "oci:{root}/blobs", "oci:{root}/../unnamed"])
def test_what_is_no_image_is_a_wrong_request(tmp_path, made, given):
    make_image(tmp_path / "unnamed", name="")
    with pytest.raises(UsageError):
        open_image(given.format(root=made.root), None)


def test_a_directory_may_have_a_colon_in_its_name(tmp_path):
    make_image(tmp_path / "a:b")
    assert open_image(f"oci:{tmp_path / 'a:b'}:{NAME}", None).image.entry.name == NAME


@pytest.mark.parametrize("which", [0, 1], ids=["config", "layer"])
def test_parts_that_are_gone_or_damaged_are_told_before_anything_is_written(tmp_path, home, made, which):
    image = open_image(f"oci:{made.root}", None).image
    part = (image.small[2], image.layers[0])[which]
    path = made.root / layout.blob_path(part.sha256)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(IntegrityError):
        open_image(f"oci:{made.root}", None)
    path.unlink()
    with pytest.raises(IncompleteError):
        open_image(f"oci:{made.root}", None)
    assert run("bundle", "create", "--to", tmp_path, "--image", f"oci:{made.root}")[0] == ExitCode.INCOMPLETE
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    code, _, said = run("bundle", "create", "--to", tmp_path, "--image", f"oci:{made.root}", "--label", "b")
    assert code == ExitCode.INTEGRITY, said
    assert not list(tmp_path.glob("b-*/SHA256SUMS"))


def test_a_token_in_the_configuration_does_not_leave(tmp_path):
    made = Layout(tmp_path / "engine")
    secret = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    made.add(made.manifest(PLATFORMS[0], {"x": b"1"}, author=secret), NAME)
    request = CreateRequest(models=(), to=(tmp_path,), images=(f"oci:{made.root}",))
    with pytest.raises(TrustError):
        bundle_images.gather(request, Home(tmp_path))


def test_one_name_for_two_images_is_a_wrong_request(tmp_path, home, made):
    make_image(tmp_path / "other", more=b"other")
    words = ("--image", f"oci:{made.root}", "--image", f"oci:{tmp_path / 'other'}")
    assert run("bundle", "create", "--to", tmp_path, *words)[0] == ExitCode.USAGE


@pytest.mark.parametrize(
    ("name", "good"),
    [
        (NAME, True),
        ("localhost:5000/a/b", True),
        ("a", True),
        ("a:V1.2_x-y", True),
        ("A/b:1", False),
        ("../a", False),
        ("a b", False),
        ("a:", False),
        ("a\n", False),
        ("-a", False),
        ("a" * 300, False),
        ("", False),
    ],
)
def test_names_that_every_program_takes(name, good):
    assert images.is_reference(name) is good


def test_two_names_never_have_one_folder():
    names = ["a/b:1", "a-b-1", "a-b:1", "a/b-1"]
    folders = {folder_name(name) for name in names}
    assert len(folders) == len(names)
    assert not any("/" in one or one.startswith(".") for one in folders)


# Hostile images


def entry_of(made: Layout, descriptor: dict) -> IndexEntry:
    return IndexEntry(
        artifact_type="",
        name="x",
        sha256=descriptor["digest"][7:],
        size=descriptor["size"],
        media_type=descriptor["mediaType"],
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.pop("layers"),
        lambda body: body.pop("config"),
        lambda body: body.update(layers={}),
        lambda body: body.update(layers=body["layers"] * 2000),
        lambda body: body.update(artifactType="application/x"),
        lambda body: body["config"].update(mediaType="application/vnd.other"),
        lambda body: body["layers"][0].update(digest="sha256:../../etc/passwd"),
        lambda body: body["layers"][0].update(digest="sha512:" + "0" * 128),
        lambda body: body["layers"][0].update(size=-1),
        lambda body: body["layers"][0].update(size=True),
        lambda body: body["layers"][0].update(mediaType="a\x1bb"),
        lambda body: body.update(layers=[1]),
        lambda body: body.update(config=[]),
    ],
)
def test_a_hostile_manifest_is_refused(tmp_path, change):
    made = Layout(tmp_path)
    good = made.manifest(PLATFORMS[0], {"x": b"1"})
    body = json.loads((tmp_path / layout.BLOBS / good["digest"][7:]).read_text())
    change(body)
    bad = made.json(MANIFEST, body)
    with pytest.raises(IntegrityError) as caught:
        images.read_image(
            entry_of(made, bad), lambda part: (tmp_path / layout.BLOBS / part.sha256).read_bytes(), "here"
        )
    assert "here" in caught.value.message.what


@pytest.mark.parametrize("manifests", [[], {}, [{}], [1], "nested"], ids=str)
def test_a_hostile_index_is_refused(tmp_path, manifests):
    made = Layout(tmp_path)
    if manifests == "nested":
        inner = made.json(INDEX, {"manifests": [made.manifest(PLATFORMS[0], {"x": b"1"})]})
        manifests = [inner]
    bad = made.json(INDEX, {"schemaVersion": 2, "manifests": manifests})
    with pytest.raises(IntegrityError):
        images.read_image(
            entry_of(made, bad), lambda part: (tmp_path / layout.BLOBS / part.sha256).read_bytes(), "here"
        )


# Into a container program


@pytest.fixture
def program(tmp_path, monkeypatch):
    """`program(tool, exit status)`: one that keeps what it was given."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(tool: str, body: str = 'cat > $0.tar; printf %s "$*" > $0.argv') -> Path:
        path = folder / tool
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize(
    ("name", "tool", "argv"),
    [
        ("docker", "docker", "load"),
        ("podman", "podman", "load"),
        ("containerd", "ctr", "-n k8s.io images import -"),
    ],
)
def test_an_image_is_streamed_to_a_program(tmp_path, home, far, made, program, name, tool, argv):  # noqa: PLR0917
    path = program(tool)
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{made.root}")
    for _ in range(2):  # imported already: it is handed over again
        succeeds(far, "bundle", "import", *volumes, "--load", name)
        assert path.with_name(f"{tool}.argv").read_text().strip() == argv
        with tarfile.open(path.with_name(f"{tool}.tar")) as archive:
            found = {member.name: archive.extractfile(member).read() for member in archive}
        assert {sha(data) for one, data in found.items() if one.startswith("blobs/")} == blobs_of(made.root)
        index = json.loads(found["index.json"])
        assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == NAME
        assert ("manifest.json" in found) == (name == "docker")
        path.with_name(f"{tool}.tar").unlink()
    assert not list(far.root.rglob("*.tar"))


def test_what_docker_reads_without_containerd(made):
    image = open_image(f"oci:{made.root}", None).image
    [body] = json.loads(images.docker_list(image, "linux/arm64"))
    config, layers = image.manifests["linux/arm64/v8"]
    assert body["Config"] == f"blobs/sha256/{config.sha256}"
    assert body["Layers"] == [f"blobs/sha256/{one.sha256}" for one in layers]
    assert body["RepoTags"] == [NAME]
    assert images.docker_list(image, "linux/s390x") is None


def test_a_program_that_is_not_there_is_told_before_anything_is_copied(tmp_path, home, far, made, monkeypatch):
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{made.root}")
    monkeypatch.setenv("SELFHOST_HOME", str(far.root))
    monkeypatch.setattr(shutil, "which", lambda _tool: None)
    code, _, said = run("bundle", "import", *volumes, "--load", "containerd")
    assert code == ExitCode.MISSING
    assert "`ctr`" in said
    assert not far.blobs.exists()


@pytest.mark.parametrize("body", ["echo no daemon >&2; exit 3", "cat > /dev/null; echo no daemon; exit 3"])
def test_a_program_that_refuses_is_quoted_and_what_was_imported_stays(tmp_path, home, far, made, program, body):  # noqa: PLR0917
    program("podman", body)
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{made.root}")
    os.environ["SELFHOST_HOME"] = str(far.root)
    code, _, said = run("bundle", "import", *volumes, "--load", "podman")
    assert code == ExitCode.MISSING
    assert "no daemon" in said
    assert len(list(image_store.stored(far.images))) == 1


def test_a_large_image_is_not_kept_in_memory(tmp_path, made):
    """As much as is read is handed on: never more than one buffer is on the way."""
    stored = image_store.StoredImage(directory=made.root, image=open_image(f"oci:{made.root}", None).image)
    largest = 0

    class Out(io.RawIOBase):
        def write(self, data) -> int:
            nonlocal largest
            largest = max(largest, len(data))
            return len(data)

    ticked = []
    image_load.write_archive(stored, Out(), ticked.append, docker=True)
    assert sum(ticked) == stored.image.size_bytes
    assert largest <= 1 << 20


@pytest.mark.slow
def test_podman_loads_what_we_hand_it(tmp_path, home, far, monkeypatch, request):
    podman = shutil.which("podman")
    if podman is None or os.geteuid():
        pytest.skip("podman, and root to use it, are not here")
    folder = tmp_path / "tools"
    folder.mkdir()
    # A store of its own, which wants a short path.
    short = Path(tempfile.mkdtemp(prefix="podman-"))
    request.addfinalizer(lambda: shutil.rmtree(short, ignore_errors=True))
    own = [podman, "--root", tmp_path / "podman", "--runroot", short, "--storage-driver", "vfs"]
    (folder / "podman").write_text(f'#!/bin/sh\nexec {" ".join(map(str, own))} "$@"\n')
    (folder / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    machine = image_load.host_platform().rpartition("/")[2]
    made = make_image(tmp_path / "engine", platforms=(("linux", machine, ""), ("linux", "s390x", "")))
    volumes = create(home, tmp_path / "medium", "--image", f"oci:{made.root}")
    succeeds(far, "bundle", "import", *volumes, "--load", "podman")
    listed = subprocess.run([folder / "podman", "images", "--format", "{{.Names}}"], capture_output=True, check=True)
    assert NAME in listed.stdout.decode()
