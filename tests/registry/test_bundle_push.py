"""`bundle push`: what a registry has afterwards is what the bundle has, for readers that are not ours."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time

import pytest

from selfhost.app import bundle_push, bundle_ship
from selfhost.bundle import modelpack, read
from selfhost.errors import ExitCode, SelfhostError
from selfhost.home import find_home
from selfhost.registry.reference import parse_reference
from tests.bundle.test_unpack_trust import STRANGER, VENDOR
from tests.bundle.trust_support import make_key
from tests.bundle.unpack_support import NAME, copied, files_of, make_bundle, run, snapshot
from tests.registry.registry_support import REPOSITORY, Told, bytes_of, client
from tests.standins.registry import PASSWORD, USER, Registry
from tests.standins.registry_proxy import Fault, Proxy
from tests.weights.storage_support import put, tiny_files

SERVED = (".safetensors", ".json", "LICENSE")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("made"), volumes=2)


@pytest.fixture
def host(upstream):
    return f"127.0.0.1:{upstream}"


def push(*argv: object) -> dict:
    code, out, err = run("bundle", "push", *argv, "--plain-http", "--json")
    assert code == 0, err
    return json.loads(out)


def sent_files(made) -> dict[str, bytes]:
    found = files_of(made[0].parent.parent / "source")
    return {name: data for name, data in found.items() if name.endswith(SERVED)}


def manifest_of(made) -> bytes:
    info = json.loads((made[0] / "bundle.json").read_bytes())
    return (made[0] / "blobs/sha256" / info["models"][0]["manifest"]).read_bytes()


@pytest.mark.slow
def test_a_model_keeps_its_manifest_byte_for_byte(made, host, skopeo, tmp_path):
    before = snapshot(*made)
    found = push(*made, f"{host}/{REPOSITORY}:v1")
    digest = f"sha256:{modelpack.sha256_of(manifest_of(made))}"
    assert found["pushed"][0]["digest"] == digest
    assert skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{host}/{REPOSITORY}:v1").encode() == (
        manifest_of(made)
    )
    skopeo("copy", "--src-tls-verify=false", f"docker://{host}/{REPOSITORY}:v1", f"dir:{tmp_path}/back")
    manifest = modelpack.parse_manifest(manifest_of(made), "manifest")
    back = {layer.path: (tmp_path / "back" / layer.sha256).read_bytes() for layer in manifest.layers}
    assert back == sent_files(made)
    assert snapshot(*made) == before
    again = push(*made, f"{host}/{REPOSITORY}:v1")
    assert (again["contents"]["sent"], again["sent_bytes"]) == (0, 0)


@pytest.mark.slow
def test_what_belongs_to_a_model_is_found_by_it(made, host):
    found = push(*made, f"{host}/{REPOSITORY}")
    [pushed] = found["pushed"]
    assert pushed["reference"] == f"{host}/{REPOSITORY}:{NAME}-bf16"
    with client(host) as registry:
        listed = registry.manifest(REPOSITORY, pushed["digest"].replace(":", "-"), Told())
        for digest in pushed["referrers"]:
            body = json.loads(registry.manifest(REPOSITORY, digest, Told()).data)
            assert body["subject"]["digest"] == pushed["digest"]
        if listed is not None:
            assert [one["digest"] for one in json.loads(listed.data)["manifests"]] == pushed["referrers"]
    assert pushed["referrers"]


def test_a_registry_that_lists_referrers_itself_gets_no_tag_for_them(made):
    for knows in (True, False):
        with Registry(referrers=knows) as registry:
            push(*made, f"{registry.host}/{REPOSITORY}")
            tags = [wanted for _, wanted in registry.manifests if wanted.startswith("sha256-")]
            assert len(tags) == (0 if knows else 1)


@pytest.mark.slow
def test_a_modelcar_is_an_image_that_others_read(made, host, skopeo, tmp_path):
    found = push(*made, f"{host}/{REPOSITORY}:car", "--as", "modelcar")
    for architecture in ("amd64", "arm64"):
        where = tmp_path / architecture
        common = ("--override-arch", architecture, "--override-os", "linux")
        source = f"docker://{host}/{REPOSITORY}:car"
        config = json.loads(skopeo(*common, "inspect", "--config", "--tls-verify=false", source))
        assert config["architecture"] == architecture
        skopeo(*common, "copy", "--src-tls-verify=false", source, f"dir:{where}")
        layers = json.loads((where / "manifest.json").read_bytes())["layers"]
        assert [one["digest"] for one in layers] == config["rootfs"]["diff_ids"]
        for layer in layers:
            tar = where / layer["digest"].removeprefix("sha256:")
            subprocess.run(["tar", "-xf", tar, "-C", where], check=True)
        assert files_of(where / "models") == sent_files(made)
    assert push(*made, f"{host}/team/second", "--as", "modelcar")["pushed"][0]["digest"] == found["pushed"][0]["digest"]
    assert push(*made, f"{host}/{REPOSITORY}:car", "--as", "modelcar")["contents"]["sent"] == 0


@pytest.mark.slow
def test_what_create_makes_goes_out_with_the_signature_of_its_model(home, host, skopeo, tmp_path):
    content = tiny_files(bytes_of(200_000))
    put(home, content)
    key = make_key(tmp_path / "key", "ecdsa256")
    code, _, err = run("bundle", "create", "--model", "tiny", "--to", tmp_path / "medium", "--sign-key", key)
    assert code == 0, err
    [volume] = (tmp_path / "medium").iterdir()
    found = push(volume, f"{host}/{REPOSITORY}:v1", "--key", f"{key}.pub")
    skopeo("copy", f"oci:{volume}:tiny/bf16", f"dir:{tmp_path}/there")
    skopeo("copy", "--src-tls-verify=false", f"docker://{host}/{REPOSITORY}:v1", f"dir:{tmp_path}/back")
    assert files_of(tmp_path / "back") == files_of(tmp_path / "there")
    with client(host) as registry:
        belonging = [
            json.loads(registry.manifest(REPOSITORY, digest, Told()).data) for digest in found["pushed"][0]["referrers"]
        ]
    kinds = {one["artifactType"]: one for one in belonging}
    [signature] = kinds[modelpack.SIGNATURE]["layers"]
    assert signature["annotations"][modelpack.TITLE] == "model.sig"
    with client(host) as registry:
        digest = signature["digest"].removeprefix("sha256:")
        data = b"".join(bytes(one) for one in registry.read_blob(REPOSITORY, digest, signature["size"], Told()))
    assert json.loads(data)["dsseEnvelope"]


def test_volumes_may_come_one_after_the_other(made):
    with Registry() as registry:
        ref = f"{registry.host}/{REPOSITORY}"
        code, _, err = run("bundle", "push", made[0], ref, "--plain-http")
        assert code == ExitCode.INCOMPLETE
        assert f"{made[1].name} (" in err
        assert f"{made[0].name} (" not in err
        assert not registry.manifests
        first = registry.count("PATCH")
        found = push(made[1], ref)
        assert found["contents"]["sent"] == registry.count("PATCH") - first
        assert (REPOSITORY, f"{NAME}-bf16") in registry.manifests


def test_what_the_receiver_has_need_not_be_carried(made, tmp_path):
    manifest = modelpack.parse_manifest(manifest_of(made), "manifest")
    left = [layer.sha256 for layer in manifest.layers if layer.path.endswith(".safetensors")]
    delta = make_bundle(tmp_path, have=left, base=["b" * 32])
    with Registry() as registry:
        ref = f"{registry.host}/{REPOSITORY}"
        assert run("bundle", "push", *delta, ref, "--plain-http")[0] == ExitCode.INCOMPLETE
        first = push(*made, ref)
        registry.manifests.clear()
        second = push(*delta, ref)
    assert second["contents"]["sent"] == 0
    assert second["pushed"][0]["digest"] == first["pushed"][0]["digest"]


def test_a_modelcar_needs_all_volumes_and_says_so_before_it_asks_anybody(made):
    code, _, err = run("bundle", "push", made[0], "127.0.0.1:1/a", "--as", "modelcar", "--plain-http")
    assert code == ExitCode.INCOMPLETE
    assert made[1].name in err


@pytest.mark.parametrize(
    ("signer", "options", "code"),
    [
        (VENDOR, [], ExitCode.OK),
        (STRANGER, [], ExitCode.TRUST),
        (None, [], ExitCode.TRUST),
        (None, ["--allow-unsigned", "a test"], ExitCode.OK),
    ],
)
def test_who_signed_is_settled_before_anything_is_sent(tmp_path, signer, options, code):
    volumes = make_bundle(tmp_path, sign=signer.sign if signer else None)
    key = VENDOR.write(tmp_path / "vendor.pub")
    with Registry() as registry:
        ref = f"{registry.host}/{REPOSITORY}"
        found, _, _ = run("bundle", "push", *volumes, ref, "--plain-http", "--key", key, *options)
        assert found == code
        assert bool(registry.seen) == (code == ExitCode.OK)
    line = json.loads(find_home().audit.read_text().splitlines()[-1])
    assert (line["operation"], line["exit_code"], line["reference"]) == ("bundle push", code, ref)


@pytest.mark.parametrize("form", ["modelpack", "modelcar"])
def test_a_damaged_content_is_not_left_in_the_registry(made, tmp_path, form):
    volumes = copied(made, tmp_path / "media")
    manifest = modelpack.parse_manifest(manifest_of(made), "manifest")
    digest = next(layer.sha256 for layer in manifest.layers if layer.path.endswith(".safetensors"))
    [path] = [one / "blobs/sha256" / digest for one in volumes if (one / "blobs/sha256" / digest).exists()]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with Registry() as registry:
        ref = f"{registry.host}/{REPOSITORY}"
        code, _, _ = run("bundle", "push", *volumes, ref, "--plain-http", "--as", form)
        assert code == ExitCode.INTEGRITY
        assert f"sha256:{digest}" not in registry.blobs
        assert not registry.manifests


QUOTA = b'{"errors":[{"code":"DENIED","message":"storage quota exceeded"}]}'
FAULTS = {
    "denied": (Fault("status", "POST", status=403), ExitCode.MISSING),
    "no quota left": (Fault("status", "PATCH", status=403, body=QUOTA), ExitCode.NO_SPACE),
    "a lying digest of a manifest": (Fault("digest", "PUT", "/manifests/"), ExitCode.INTEGRITY),
    "a lying digest of a blob": (Fault("digest", "PUT", "/blobs/"), ExitCode.INTEGRITY),
    "one broken connection": (Fault("drop_body", "PATCH", after_bytes=100), ExitCode.OK),
}


@pytest.mark.parametrize("case", FAULTS)
def test_exit_codes(made, case):
    fault, wanted = FAULTS[case]
    with Registry() as registry, Proxy(registry.port, [fault]) as proxy:
        code, _, err = run("bundle", "push", *made, f"{proxy.host}/{REPOSITORY}", "--plain-http")
        assert code == wanted, err
        assert proxy.happened


@pytest.mark.parametrize(
    "argv",
    [
        ("qwen",),
        ("127.0.0.1:1/a@sha256:" + "0" * 64,),
        ("127.0.0.1:1/a", "--as", "tar"),
    ],
)
def test_wrong_requests(made, argv):
    assert run("bundle", "push", *made, *argv, "--plain-http")[0] == ExitCode.USAGE


def test_a_model_that_is_not_there(made):
    assert run("bundle", "push", *made, "127.0.0.1:1/a", "--model", "other", "--plain-http")[0] == ExitCode.NO


def test_a_bundle_without_images(made):
    assert run("bundle", "push", *made, "127.0.0.1:1/a", "--as", "images", "--plain-http")[0] == ExitCode.NO


def test_nobody_answers(made):
    with Registry() as gone:
        host = gone.host
    bundle = read.open_bundle(made, lambda *_: "")
    reference = parse_reference(f"{host}/{REPOSITORY}")
    shipped = bundle_ship.shipments(bundle, reference, bundle_ship.Kind.MODELPACK, None, lambda *_: None)
    with client(host) as registry, pytest.raises(SelfhostError) as caught:
        bundle_push.push(bundle, shipped, registry, lambda _line: None, lambda *_: None)
    assert caught.value.code == ExitCode.INCOMPLETE


def test_offline_no_other_machine_is_asked(made, monkeypatch):
    monkeypatch.setenv("SELFHOST_OFFLINE", "1")
    code, _, err = run("bundle", "push", *made, "registry.invalid/a")
    assert code == ExitCode.INCOMPLETE
    assert "registry.invalid" in err


def test_no_secret_is_in_the_log_or_on_the_terminal(made, logins):
    with Registry(uses=50) as registry:
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        logins.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
        code, out, err = run("bundle", "push", *made, f"{registry.host}/{REPOSITORY}", "--plain-http")
    assert code == 0
    told = out + err + find_home().audit.read_text()
    assert not [secret for secret in (PASSWORD, auth, "token-") if secret in told]


@pytest.mark.slow
def test_an_interruption_ends_it_at_once_and_the_next_run_goes_on(made, home):
    with Registry() as registry, Proxy(registry.port, [Fault("hold", "PUT", "/blobs/", skip=1, times=99)]) as proxy:
        argv = ["bundle", "push", *map(str, made), f"{proxy.host}/{REPOSITORY}", "--plain-http"]
        process = subprocess.Popen([sys.executable, "-m", "selfhost", *argv], stderr=subprocess.PIPE)
        assert proxy.met.wait(30)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
        assert process.returncode == ExitCode.INTERRUPTED, err
        assert not registry.manifests
        proxy.faults.clear()
        assert push(*made, f"{proxy.host}/{REPOSITORY}")["contents"]["there"] >= 1
    assert json.loads(find_home().audit.read_text().splitlines()[0])["exit_code"] != 0
