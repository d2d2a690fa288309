"""What builders are told, and what is read from what they say."""

from __future__ import annotations

import json

import pytest

from selfhost.errors import UsageError
from selfhost.images import builder, kinds
from selfhost.images.builder import Build, Builder

BUILD = Build(
    reference="localhost/selfhost-cpu:1.0",
    containerfile="/c/Containerfile",
    context="/c",
    id_file="/c.id",
    arguments={"BASE": "docker.io/library/debian@sha256:0"},
    epoch=7,
)


def changed(**changes) -> Build:
    values = {name: getattr(BUILD, name) for name in Build.__slots__}
    return Build(**(values | changes))


@pytest.mark.parametrize("program", Builder)
def test_every_builder_gets_file_name_arguments_and_the_context_last(program):
    argv = builder.build_command(program, BUILD)
    assert argv[:2] == [program.value, "build"]
    assert argv[argv.index("--file") + 1] == "/c/Containerfile"
    assert argv[argv.index("--tag") + 1] == "localhost/selfhost-cpu:1.0"
    given = [argv[at + 1] for at, word in enumerate(argv) if word == "--build-arg"]
    assert given == ["BASE=docker.io/library/debian@sha256:0", "SOURCE_DATE_EPOCH=7"]
    assert argv[-1] == "/c"
    assert "--network" not in argv


def test_only_podman_and_buildah_date_the_image_and_keep_the_health_check():
    for program in (Builder.PODMAN, Builder.BUILDAH):
        argv = builder.build_command(program, changed(isolation="chroot"))
        assert argv[argv.index("--timestamp") + 1] == "7"
        assert argv[argv.index("--format") + 1] == "docker"
        assert argv[argv.index("--isolation") + 1] == "chroot"
    assert not {"--timestamp", "--format", "--isolation"} & set(builder.build_command(Builder.DOCKER, BUILD))


@pytest.mark.parametrize("program", Builder)
def test_offline_nothing_is_pulled_and_steps_have_no_network(program):
    argv = builder.build_command(program, changed(offline=True))
    assert argv[argv.index("--network") + 1] == "none"
    assert ("--pull=never" in argv) == (program is not Builder.DOCKER)


def test_chroot_isolation_is_given_no_network_because_buildah_refuses_it():
    assert "--network" not in builder.build_command(Builder.BUILDAH, changed(offline=True, isolation="chroot"))


MANIFEST = json.dumps({"layers": [{"size": 177262080}, {"size": 2560}]})


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (Builder.BUILDAH, {"FromImageID": "ab12", "FromImageDigest": "sha256:d", "Manifest": MANIFEST}),
        (Builder.PODMAN, [{"Id": "ab12", "Digest": "sha256:d", "Size": 177264640}]),
        (Builder.DOCKER, [{"Id": "sha256:ab12", "RepoDigests": ["r.example/a@sha256:d"], "Size": 177264640}]),
    ],
    ids=str,
)
def test_an_image_is_read_the_same_from_each(program, said):
    found = builder.parse_inspect(program, json.dumps(said), "a:1")
    assert found.as_dict() == {"reference": "a:1", "id": "ab12", "digest": "sha256:d", "size_bytes": 177264640}


def test_docker_has_no_digest_of_what_was_never_pushed():
    said = json.dumps([{"Id": "sha256:ab12", "RepoDigests": [], "Size": 1}])
    assert builder.parse_inspect(Builder.DOCKER, said, "a:1").digest == ""


DOCKER_ROWS = "\n".join(
    json.dumps({"Repository": name, "Tag": tag})
    for name, tag in (("localhost/selfhost-cuda", "1"), ("<none>", "<none>"), ("localhost/selfhost-cpu-x", "1"))
)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (Builder.PODMAN, '[{"Names": ["localhost/selfhost-cuda:1", "localhost/other:1"]}, {"Names": null}]'),
        (Builder.BUILDAH, '[{"names": ["localhost/selfhost-cuda:1"]}, {"names": ["docker.io/x/selfhost-cpu:1"]}]'),
        (Builder.DOCKER, DOCKER_ROWS),
    ],
    ids=["podman", "buildah", "docker"],
)
def test_only_images_of_ours_are_listed(program, said):
    assert builder.parse_list(program, said) == ["localhost/selfhost-cuda:1"]


@pytest.mark.parametrize(("program", "said"), [(Builder.PODMAN, "null"), (Builder.BUILDAH, "[]"), (Builder.DOCKER, "")])
def test_an_empty_store_has_none(program, said):
    assert builder.parse_list(program, said) == []


def test_an_unknown_image_is_told_the_nearest():
    with pytest.raises(UsageError) as caught:
        kinds.find_kind("cude")
    assert "selfhost image build cuda" in caught.value.message.hint
