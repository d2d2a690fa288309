"""`image build` with a stand-in for a builder: the context it gets, its failure, and what is never started."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from selfhost import __version__
from selfhost.app import image
from selfhost.app.image_folder import work_folder
from selfhost.errors import ExitCode, MissingError, NoSpaceError, SelfhostError, Terminated, UsageError
from selfhost.home import Home
from selfhost.images.builder import Builder
from selfhost.images.kinds import KINDS, find_kind
from tests.tiny_wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

BASE = f"r.example/vllm@sha256:{'0' * 64}"
# A builder that says what it was given, makes nothing and describes it all the same.
STAND_IN = """#!/bin/sh
if [ "$1" = inspect ]; then
    cat "$STAND_IN_SAYS"
    exit 0
fi
for word; do context="$word"; done
cp -r "$context" "$STAND_IN_KEPT"
echo "STEP 1/2: FROM somewhere"
echo "to stderr" >&2
[ -z "$STAND_IN_SILENT" ] && printf ab12 > "$context.id"
[ -z "$STAND_IN_WAITS" ] || exec sleep 60
exit "$STAND_IN_STATUS"
"""


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """Where the stand-in of buildah, the only builder in PATH, keeps the context."""
    tool = tmp_path / "bin" / "buildah"
    tool.parent.mkdir()
    tool.write_text(STAND_IN)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    monkeypatch.setattr("shutil.which", lambda name: str(tool) if name == "buildah" else None)
    monkeypatch.setenv("STAND_IN_KEPT", str(tmp_path / "kept"))
    monkeypatch.setenv("STAND_IN_STATUS", "0")
    said = {"FromImageID": "ab12", "FromImageDigest": "sha256:d", "Manifest": json.dumps({"layers": [{"size": 5}]})}
    (tmp_path / "said.json").write_text(json.dumps(said))
    monkeypatch.setenv("STAND_IN_SAYS", str(tmp_path / "said.json"))
    return tmp_path / "kept"


@pytest.fixture
def wheelhouse(tmp_path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "selfhost-llm", __version__)
    return folder


def request(wheelhouse: Path, **more) -> image.ImageRequest:
    return image.ImageRequest(kind=find_kind("cuda"), wheelhouse=wheelhouse, **more)


def build(home: Path, asked: image.ImageRequest) -> tuple[Builder, dict, list[str]]:
    lines: list[str] = []
    builder, made = image.build(Home(home), asked, lines.append, lambda _progress: None)
    return builder, made.as_dict(), lines


@pytest.mark.slow
def test_the_context_has_wheels_hashes_and_the_bill_and_goes_when_it_is_done(kept, wheelhouse, home, tmp_path):
    builder, made, lines = build(home, request(wheelhouse, base=BASE, sbom=tmp_path / "bill.json"))
    assert builder is Builder.BUILDAH
    name = f"localhost/selfhost-cuda:{__version__}"
    assert made == {"reference": name, "id": "ab12", "digest": "sha256:d", "size_bytes": 5}
    assert lines[1:] == ["STEP 1/2: FROM somewhere", "to stderr"]
    there = {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    wheel = f"selfhost_llm-{__version__}-py3-none-any.whl"
    assert there == {"Containerfile", "sbom.cdx.json", "wheels/own/selfhost.lock", f"wheels/own/{wheel}"}
    bill = json.loads((kept / "sbom.cdx.json").read_text())
    assert bill == json.loads((tmp_path / "bill.json").read_text())
    assert bill["metadata"]["component"]["name"] == name
    assert bill["metadata"]["properties"] == [{"name": "selfhost:image:base", "value": BASE}]
    assert [part["name"] for part in bill["components"]] == ["selfhost", "selfhost-llm"]
    assert list(Home(home).wheels.iterdir()) == []


@pytest.mark.slow
def test_a_builder_that_fails_is_quoted_and_leaves_nothing(kept, wheelhouse, home, monkeypatch):
    monkeypatch.setenv("STAND_IN_STATUS", "125")
    with pytest.raises(SelfhostError) as caught:
        build(home, request(wheelhouse))
    assert caught.value.message.what == "`buildah build` failed"
    assert caught.value.message.why == "exit status: 125\nSTEP 1/2: FROM somewhere\nto stderr"
    assert list(Home(home).wheels.iterdir()) == []


def test_without_a_builder_the_hint_installs_one(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(MissingError) as caught:
        image.pick(None)
    assert caught.value.code is ExitCode.MISSING
    assert "apt-get install buildah" in caught.value.message.hint
    with pytest.raises(MissingError, match="docker"):
        image.pick(Builder.DOCKER)


def test_docker_has_no_isolation_and_a_strange_builder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="chroot"):
        image.command(request(tmp_path, isolation="chroot"), Builder.DOCKER, tmp_path)
    with pytest.raises(UsageError, match="kaniko"):
        image.parse_builder("kaniko")


def test_the_date_of_an_image_is_fixed_unless_the_variable_says_another(tmp_path, monkeypatch):
    assert "SOURCE_DATE_EPOCH=315532800" in image.command(request(tmp_path), Builder.PODMAN, tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    argv = image.command(request(tmp_path), Builder.PODMAN, tmp_path)
    assert argv[argv.index("--timestamp") + 1] == "1700000000"


@pytest.mark.parametrize(("given", "wanted"), [("", (3, 12)), ("3.11", (3, 11))])
def test_wheels_are_for_the_python_of_the_base(given, wanted, tmp_path):
    assert image.machine_of(request(tmp_path, python=given)).python == wanted


def test_a_python_that_is_no_version_is_refused(tmp_path):
    with pytest.raises(UsageError, match="three"):
        image.machine_of(request(tmp_path, python="three"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_dry_run_tells_of_every_file_that_the_containerfile_takes(kind):
    told = image.context_files(kind)
    for line in (image.folder_of(kind) / "Containerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from=" not in line:
            source = line.split()[-2]
            assert source in told, os.fspath(source)


@pytest.mark.slow
def test_a_builder_without_space_or_without_a_word_is_no_defect_of_ours(kept, wheelhouse, home, monkeypatch, tmp_path):
    bill = tmp_path / "new" / "bill.json"
    monkeypatch.setenv("STAND_IN_SILENT", "1")
    with pytest.raises(MissingError, match="buildah build"):
        build(home, request(wheelhouse, sbom=bill))
    kept.with_name("bin").joinpath("buildah").write_text("#!/bin/sh\necho 'write: No space left on device'; exit 125\n")
    with pytest.raises(NoSpaceError):
        build(home, request(wheelhouse, sbom=bill))
    # The bill of an image that was not made would be a lie.
    assert list(bill.parent.iterdir()) == []


@pytest.mark.slow
def test_a_build_that_is_ended_leaves_nothing_and_one_that_was_killed_is_cleared_up_by_the_next(
    kept, wheelhouse, home, monkeypatch
):
    wheels = Home(home).wheels
    monkeypatch.setenv("STAND_IN_WAITS", "1")

    def stop(line: str) -> None:
        if "STEP" in line:
            (left,) = wheels.glob(".image-*")
            # Another build beside this one, which has run for long: it keeps what it has.
            os.utime(left, (0, 0))
            with work_folder(wheels):
                assert left.is_dir()
            raise Terminated

    with pytest.raises(Terminated):
        image.build(Home(home), request(wheelhouse), stop, lambda _progress: None)
    assert list(wheels.iterdir()) == []
    for name, age in (("old", 0), ("new", None)):
        (wheels / f".image-{name}").mkdir()
        if age is not None:
            os.utime(wheels / f".image-{name}", (age, age))
    with work_folder(wheels):
        pass
    assert [path.name for path in wheels.iterdir()] == [".image-new"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": "--privileged"},
        {"base": "two words"},
        {"base": "r.example/x@sha256:12"},
        {"base": f"r.example/x@sha512:{'0' * 64}"},
        {"tag": "-x"},
        {"tag": "r.example/Upper:1"},
        {"tag": BASE},
        {"isolation": "bogus"},
        {"python": "3.9"},
        {"python": "3"},
    ],
)
def test_what_a_builder_would_refuse_in_the_end_is_refused_at_once(wrong, tmp_path):
    with pytest.raises(UsageError):
        image.command(request(tmp_path, **wrong), Builder.PODMAN, tmp_path)


@pytest.mark.parametrize(
    "right",
    [{"base": BASE}, {"base": "oci-archive:/media/base.tar"}, {"base": "host:5000/a/b:1.0"}, {"tag": "h:5000/a/b:1"}],
)
def test_every_name_that_builders_take_is_taken(right, tmp_path):
    image.check(request(tmp_path, **right))
