"""What a bundle says of the machine it is for, and who signed its models: both are settled before a byte is copied."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from selfhost.app import detect
from selfhost.bundle import modelpack, openssf, profile, read, sshsig
from selfhost.bundle.keys import from_object
from selfhost.bundle.modelpack import Layer
from selfhost.bundle.profile import Needs
from selfhost.errors import ExitCode, TrustError
from selfhost.home import find_home
from tests.bundle.test_bundle_profile import GPU, NPU, changed
from tests.bundle.unpack_support import NAME, VARIANT, content, files_of, import_bundle, make_bundle, run
from tests.conftest import missing


def model():
    return find_home().models / NAME / VARIANT


# The machine


def ids(here, made_for, needs=None):
    return [found.message.id for found in profile.lacking(here, made_for, needs or Needs())]


BETTER = GPU | {"name": "NVIDIA B200", "visible_memory_bytes": 180 << 30, "compute_capability": [10, 0]}


@pytest.mark.parametrize(
    ("here", "made_for", "wanted"),
    [
        ({}, {}, []),
        ({"accelerators": [GPU, GPU]}, {}, []),
        ({"accelerators": [BETTER], "nvidia_driver": "590.1"}, {}, []),
        ({"accelerators": [GPU | {"visible_memory_bytes": (95 << 30) - (1 << 30)}]}, {}, []),
        ({"accelerators": []}, {}, ["target.fewer_devices"]),
        ({}, {"accelerators": [GPU, GPU]}, ["target.fewer_devices"]),
        ({"accelerators": [GPU | {"hidden": True}]}, {}, ["target.fewer_devices"]),
        ({"accelerators": [GPU | {"visible_memory_bytes": 48 << 30}]}, {}, ["target.fewer_devices"]),
        ({"accelerators": [GPU | {"compute_capability": [8, 0]}]}, {}, ["target.fewer_devices"]),
        ({"accelerators": [NPU]}, {}, ["target.fewer_devices"]),
        ({"architecture": "aarch64"}, {}, ["target.differs"]),
        ({"nvidia_driver": "535.104.05"}, {}, ["target.differs"]),
        ({"nvidia_driver": None}, {}, ["target.differs"]),
        ({"nvidia_driver": None}, {"nvidia_driver": None}, []),
        ({"soc_family": "A2"}, {"soc_family": "A3"}, ["target.soc_family"]),
        ({"cann": "8.0.0"}, {"cann": "8.3.RC1"}, ["target.differs"]),
        ({"cann": "8.5.0"}, {"cann": "8.3.RC1"}, []),
        ({"glibc": "2.28"}, {"glibc": "2.34"}, []),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_it_was_made_for_and_is_not_here(here, made_for, wanted):
    assert ids(changed(**here), changed(**made_for)) == wanted


def test_wheels_of_the_bundle_count_though_the_profile_would_do():
    needs = Needs(wheels=("x-1-cp312-cp312-manylinux_2_28_x86_64.whl",))
    assert ids(changed(), changed(), needs) == ["target.wheels"]


def made_for(body: object):
    small = content(json.dumps(body).encode())
    layers = [Layer(path="target.json", sha256=small.sha256, size=small.size)]
    return modelpack.build(modelpack.PROFILE, "profile", {}, layers), [], [small]


def here():
    return detect.as_dict(detect.detect(find_home()), ())


def test_a_bundle_for_this_machine_comes_in(tmp_path):
    import_bundle(make_bundle(tmp_path, more=[made_for(here())]), find_home())
    assert model().is_dir()


def test_a_bundle_for_another_machine_is_refused_before_any_byte(tmp_path):
    other = here()
    other["accelerators"] = [GPU] * 8
    other["host"]["architecture"] = "riscv64"
    volumes = make_bundle(tmp_path, more=[made_for(other)])
    code, _, said = run("bundle", "import", *volumes)
    assert code == ExitCode.MISSING
    assert "NVIDIA H20" in said
    assert "wanted: riscv64" in said
    assert not find_home().blobs.exists()
    assert not find_home().models.exists()
    code, _, said = run("bundle", "import", *volumes, "--allow-mismatch")
    assert code == 0, said
    assert "wanted: riscv64" in said
    assert model().is_dir()


@pytest.mark.parametrize("body", [[], {"schema_version": 9}, {"host": {}}], ids=str)
def test_a_profile_that_cannot_be_read_is_damage(tmp_path, body):
    code, _, said = run("bundle", "import", *make_bundle(tmp_path, more=[made_for(body)]))
    assert code == ExitCode.INTEGRITY
    assert "of the machine that it is for" in said
    assert not find_home().blobs.exists()


# Signatures of models

KEY, OTHER = ec.derive_private_key(7, ec.SECP256R1()), ec.derive_private_key(8, ec.SECP256R1())


def pem(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def signature(tmp_path, key=KEY, **changed):
    """An artifact for `make_bundle`: what it makes is the same each time."""
    bundle = read.open_bundle(make_bundle(tmp_path), lambda *_: "")
    (built,) = [one for one in bundle.artifacts if one.entry.artifact_type == modelpack.MODEL]
    files = {layer.path: layer.sha256 for layer in built.manifest.layers} | changed
    data = content(openssf.sign(built.entry.name, {path: one for path, one in files.items() if one}, key))
    layers = [Layer(path="model.sig", sha256=data.sha256, size=data.size)]
    made = modelpack.build(modelpack.SIGNATURE, f"{built.entry.name}/signature", {}, layers, built.entry)
    return made, [], [data]


def signed_bundle(tmp_path, key=KEY, **changed):
    more = [signature(tmp_path / "signature", key, **changed)]
    return make_bundle(tmp_path, more=more, sign=lambda message: sshsig.sign(message, KEY))


@pytest.fixture
def trusting():
    where = find_home().trust
    where.mkdir(parents=True)
    (where / "vendor.pub").write_bytes(pem(KEY))
    return where


def test_a_signed_model_keeps_its_signature(tmp_path, trusting):
    volumes = signed_bundle(tmp_path)
    assert run("bundle", "verify", *volumes)[0] == 0
    code, _, said = run("bundle", "import", *volumes)
    assert code == 0, said
    assert f"model_signing verify key {model()}" in said
    assert (model() / "model.sig").is_file()
    found = openssf.verify((model() / "model.sig").read_bytes(), [from_object(KEY.public_key())])
    files = files_of(model())
    assert openssf.compare(found, {path: modelpack.sha256_of(data) for path, data in files.items()}).none
    assert run("verify", NAME)[0] == 0
    code, out, _ = run("ls", NAME, "--json")
    assert json.loads(out)["models"][0]["files"] == len(files) - 1
    # Again, and again when somebody has taken it away.
    (model() / "model.sig").unlink()
    assert run("bundle", "import", *volumes)[0] == 0
    assert (model() / "model.sig").is_file()


@pytest.mark.parametrize(
    ("key", "changed", "wanted"),
    [
        (OTHER, {}, "trust.unknown_model_signer"),
        (KEY, {"config.json": "0" * 64}, "trust.model_differs"),
        (KEY, {"config.json": ""}, "trust.model_differs"),
        (KEY, {"more.bin": "1" * 64}, "trust.model_differs"),
    ],
    ids=["a key that is not trusted", "another file", "a file that was not signed", "a file that is not there"],
)
def test_a_signature_that_does_not_fit_is_refused_before_any_byte(tmp_path, trusting, key, changed, wanted):
    volumes = signed_bundle(tmp_path, key, **changed)
    with pytest.raises(TrustError) as caught:
        import_bundle(volumes, find_home())
    assert caught.value.message.id == wanted
    assert not find_home().blobs.exists()
    assert run("bundle", "verify", *volumes)[0] == ExitCode.TRUST
    allowed = run("bundle", "import", *volumes, "--allow-unsigned", "seen with my own eyes")[0]
    assert allowed == (0 if key is OTHER else ExitCode.TRUST)


def test_a_revoked_key_is_refused_whatever_is_allowed(tmp_path, trusting):
    (trusting / "other.pub").write_bytes(pem(OTHER))
    (trusting / "trust.toml").write_text('[keys."other.pub"]\nrevoked = true\n')
    volumes = signed_bundle(tmp_path, OTHER)
    with pytest.raises(TrustError) as caught:
        import_bundle(volumes, find_home(), allow_unsigned="because")
    assert caught.value.message.id == "trust.revoked"


def test_a_key_outside_its_time_is_told_or_refused(tmp_path, trusting):
    (trusting / "other.pub").write_bytes(pem(OTHER))
    (trusting / "trust.toml").write_text('[keys."other.pub"]\nexpires = 2020-01-01\n')
    volumes = signed_bundle(tmp_path, OTHER)
    with pytest.raises(TrustError) as caught:
        import_bundle(volumes, find_home(), strict_time=True)
    assert caught.value.message.id == "trust.outside_time"
    code, _, said = run("bundle", "import", *volumes)
    assert (code, "2020-01-01" in said) == (0, True)


def test_where_nobody_is_trusted_a_signature_is_kept_for_who_has_the_key(tmp_path):
    import_bundle(signed_bundle(tmp_path, OTHER), find_home())
    assert (model() / "model.sig").is_file()


@pytest.mark.slow
def test_the_official_verifier_accepts_an_imported_model(tmp_path, trusting):
    python = os.environ.get("SELFHOST_TEST_MODEL_SIGNING_PYTHON")
    if not python:
        missing("model_signing", "set SELFHOST_TEST_MODEL_SIGNING_PYTHON to a Python with model-signing and pyOpenSSL")
    assert run("bundle", "import", *signed_bundle(tmp_path))[0] == 0
    argv = [python, "-m", "model_signing", "verify", "key", model(), "--signature", model() / "model.sig"]
    argv += ["--public_key", trusting / "vendor.pub"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shard = next(model().glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.unlink()
    shard.write_bytes(data)
    assert subprocess.run(argv, check=False, capture_output=True).returncode != 0
