"""`selfhost render`: what is written, what is told, what is refused."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

from selfhost.cli import complete
from selfhost.recipe.load import builtin_directory
from selfhost.render.targets import TARGETS
from selfhost.weights.lock import LOCK_NAME

PLAN = ("smollm2-135m", "--on", "cpu@8")
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def render(selfhost, tmp_path):
    def run(*words, target="compose"):
        return selfhost("render", "--output", tmp_path / "deploy", target, *words)

    run.output = tmp_path / "deploy"
    return run


def engine(render):
    return yaml.safe_load((render.output / "compose.yaml").read_text())["services"]["engine"]


def binds(render):
    """`SOURCE:TARGET` of what is mounted read-only."""
    found = [mount for mount in engine(render)["volumes"] if isinstance(mount, dict)]
    assert all((mount["type"], mount["read_only"]) == ("bind", True) for mount in found)
    return [f"{mount['source']}:{mount['target']}" for mount in found]


def test_paths_go_to_stdout_and_what_is_left_to_do_to_stderr(render):
    code, out, err = render(*PLAN)
    assert code == 0
    names = ["compose.yaml", "README.md", "LEAVING.md", "prometheus.yml", "alerts.yaml", "dashboard.json"]
    assert [Path(line).name for line in out.splitlines()] == names
    assert all(Path(line).is_file() for line in out.splitlines())
    assert "`selfhost pull smollm2-135m --variant bf16`" in err


def test_one_json_object_says_what_was_written(render):
    code, out, _ = render(*PLAN, "--json")
    said = json.loads(out)
    assert (code, said["schema_version"], said["target"], said["name"]) == (0, 1, "compose", "smollm2-135m")
    assert said["images"] == [engine(render)["image"]]
    assert said["plan"] == engine(render)["labels"]["selfhost.plan"]
    assert all(Path(path).is_file() for path in said["files"])


def test_check_says_yes_to_files_as_rendered_and_shows_what_was_changed(render):
    render(*PLAN)
    assert render(*PLAN, "--check")[:2] == (0, "")
    path = render.output / "compose.yaml"
    path.write_text(path.read_text().replace("read_only: true", "read_only: false"))
    code, out, _ = render(*PLAN, "--check")
    assert code == 3
    assert "\n-    read_only: false\n+    read_only: true\n" in out
    assert "read_only: false" in path.read_text()
    (render.output / "README.md").unlink()
    code, out, _ = render(*PLAN, "--check", "--json")
    assert (code, json.loads(out)["same"]) == (3, False)
    assert "--- /dev/null\n+++ README.md (rendered)" in json.loads(out)["diff"]


def test_another_plan_is_another_fingerprint(render):
    render(*PLAN)
    before = engine(render)["labels"]["selfhost.plan"]
    code, out, _ = render(*PLAN, "--max-num-seqs", "8", "--check")
    assert code == 3
    assert f"-      selfhost.plan: {before}\n" in out


def test_the_digest_of_a_stored_model_is_in_the_files(render, home):
    directory = home / "models" / "smollm2-135m" / "bf16"
    directory.mkdir(parents=True)
    (directory / LOCK_NAME).write_text("{}")
    _, _, err = render(*PLAN)
    assert "not in the store" not in err
    assert engine(render)["labels"]["selfhost.model-sha256"] == hashlib.sha256(b"{}").hexdigest()


def test_images_are_named_as_they_were_given(render):
    render(
        "qwen2.5-72b", "--on", "8x910B3", "--image", f"quay.io/a/b:v1@{DIGEST}", "--gateway-image", f"r:5000/n@{DIGEST}"
    )
    services = yaml.safe_load((render.output / "compose.yaml").read_text())["services"]
    assert services["engine"]["image"] == f"quay.io/a/b@{DIGEST}"
    assert services["gateway"]["image"] == f"r:5000/n@{DIGEST}"


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "docker.io/n@sha256:abc",
        "docker.io/n:",
        "-x/y",
        "a/b c",
        "a/B",
        "a/b@md5:" + "a" * 64,
        "http://a/b",
        "",
    ],
)
def test_what_is_no_name_of_an_image_is_refused(render, image):
    code, _, err = render("qwen2.5-72b", "--on", "8x910B3", "--gateway-image", image or " ")
    assert code == 2
    assert "not the name of an image" in err
    assert not render.output.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--name", "vllm"), 2, "`--name vllm-server`"),
        (("--name", "Big Model"), 2, "`--name big-model`"),
        (("--store", "srv/selfhost"), 2, "not an absolute path: `srv/selfhost`"),
        (("--port", "0"), 2, "files need a port"),
        (("--", "--no-such-option"), 2, "--no-such-option"),
    ],
)
def test_values_that_no_file_can_have_are_refused(render, words, code, said):
    result = render(*PLAN, *words)
    assert result[0] == code
    assert said in result[2]
    assert not render.output.exists()


def test_an_unknown_target_is_refused_before_anything_is_planned(render):
    code, _, err = render("no-such-model", target="helm")
    assert code == 2
    assert "unknown target: `helm`" in err
    assert "compose" in err


def test_a_plan_that_does_not_fit_is_rendered_only_when_forced(render):
    wanted = ("qwen2.5-72b", "--variant", "bf16", "--on", "2xRTX4090", "--tensor-parallel-size", "2")
    code, _, err = render(*wanted)
    assert code == 3
    assert "`--force`" in err
    assert not render.output.exists()
    code, _, err = render(*wanted, "--force")
    assert code == 0
    assert "does not fit" in err


def test_a_recipe_of_ones_own_travels_with_the_files(render, home, tmp_path):
    text = next(builtin_directory().rglob("smollm2-135m.toml")).read_text()
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "smollm2-135m.toml").write_text(text + "\n# ours\n")
    render(*PLAN)
    assert (render.output / "recipes" / "smollm2-135m.toml").read_text().endswith("# ours\n")
    assert "./recipes:/var/lib/selfhost/recipes" in binds(render)


def test_a_directory_is_mounted_where_it_lies_and_of_a_hubs_cache_all_that_its_links_need(render, tmp_path):
    data = Path(__file__).parent.parent / "data" / "render" / "models" / "tiny-qwen"
    snapshot = tmp_path / "hub" / "models--Qwen--Tiny" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text((data / "config.json").read_text())
    assert render(snapshot, "--on", "2xA800-80G")[0] == 0
    assert engine(render)["command"][0] == "/models/models--Qwen--Tiny/snapshots/0a1b"
    assert f"{tmp_path}/hub/models--Qwen--Tiny:/models/models--Qwen--Tiny" in binds(render)


def test_an_address_that_others_reach_is_told(render):
    code, _, err = render(*PLAN, "--host", "::", "--port", "9000")
    assert code == 0
    assert "published on ::, port 9000" in err
    assert engine(render)["ports"] == ["[::]:9000:8000"]


def test_targets_are_offered():
    assert complete.targets("") == list(TARGETS)
    assert complete.targets("q") == ["quadlet"]


def test_a_plan_that_was_forced_is_forced_in_the_container_as_well(render):
    wanted = ("qwen2.5-72b", "--variant", "bf16", "--on", "2xRTX4090", "--tensor-parallel-size", "2", "--force")
    render(*wanted, "--", "--seed", "1")
    words = engine(render)["command"]
    assert words[words.index("--force") + 1 :] == ["--", "--seed", "1"], "an option of `serve`, not of the engine"
    render(*PLAN)
    assert "--force" not in engine(render)["command"]


def test_settings_given_after_the_dashes_are_written_once(render):
    render(*PLAN, "--", "--max-model-len", "auto", "--shutdown-timeout=60")
    words = engine(render)["command"]
    assert words[words.index("--") :] == ["--", "--shutdown-timeout=60"]
    assert words.count("--max-model-len") == 1


def test_a_stop_waits_for_running_requests_in_every_spelling(render):
    for words in (("--shutdown-timeout=60",), ("--shutdown_timeout", "60")):
        render(*PLAN, "--", *words)
        assert engine(render)["stop_grace_period"] == "80s", "70 s by `selfhost serve`, and 10 s to spare"


@pytest.mark.parametrize(("model", "mounted"), [("qwen2.5-3b", True), ("qwen2.5-7b", False)])
def test_terms_that_were_accepted_for_research_are_seen_in_the_container(render, model, mounted):
    render(model, "--on", "RTX4090", "--store", "/srv/selfhost")
    bind = "/srv/selfhost/accepted:/var/lib/selfhost/accepted"
    assert (bind in binds(render)) is mounted
    render(model, "--on", "RTX4090", target="k8s")
    texts = [(render.output / name).read_text() for name in ("deployment.yaml", "README.md")]
    assert ["accepted" in text for text in texts] == [mounted, mounted]


def test_a_name_that_begins_with_a_digit_becomes_one_that_a_service_can_have(render):
    code, out, _ = render(*PLAN, "--served-model-name", "70B", "--json")
    assert (code, json.loads(out)["name"]) == (0, "model-70b")
    code, _, err = render(*PLAN, "--name", "70b")
    assert code == 2
    assert "--name model-70b" in err


@pytest.mark.parametrize(
    ("host", "published"), [("localhost", "127.0.0.1:8000"), ("[::1]", "[::1]:8000"), ("0.0.0.0", "0.0.0.0:8000")]
)
def test_files_publish_at_an_address(render, host, published):
    assert render(*PLAN, "--host", host)[0] == 0
    assert engine(render)["ports"] == [f"{published}:8000"]


@pytest.mark.parametrize("host", ["gpu1.example", "a b", "10.0.0", ""])
def test_a_name_is_no_address_that_a_container_engine_takes(render, host):
    code, _, err = render(*PLAN, "--host", host)
    assert code == 2
    assert f"not an address that files can publish at: `{host}`" in err
    assert not render.output.exists()


def test_signs_in_paths_reach_the_container_engine_as_they_are(render):
    store = "/srv/self host/$x/50%"
    render(*PLAN, "--store", store)
    assert "/srv/self host/$$x/50%/models:/var/lib/selfhost/models" in binds(render)
    assert f"`SELFHOST_HOME='{store}' selfhost pull" in (render.output / "README.md").read_text()
    render(*PLAN, "--store", store, target="quadlet")
    unit = (render.output / "smollm2-135m.container").read_text()
    assert "\nVolume=/srv/self host/$$x/50%%/models:/var/lib/selfhost/models:ro\n" in unit


@pytest.mark.parametrize("words", [("--store", "/srv/a:b"), ("--store", "/srv/a\nb"), ("--directory", "/srv/a:b")])
def test_a_path_that_cannot_be_mounted_is_refused(render, words):
    code, _, err = render(*PLAN, *words)
    assert code == 2
    assert f"name another place: `{words[0]} /srv/models`" in err


def test_a_device_that_no_engine_drives_is_not_offered_force(render):
    code, _, err = render("qwen2.5-7b", "--on", "MLU370", "--force")
    assert code == 3
    assert "cannot be started on" in err
    assert "`--force`" not in err


def test_an_output_that_is_a_file_is_said_to_be_one(render):
    render.output.write_text("mine")
    for words in ((), ("--check",), ("--json",)):
        code, out, err = render(*PLAN, *words)
        assert code == 2
        assert "`--output` is a file" in (json.loads(out)["error"]["what"] if "--json" in words else err)
    assert render.output.read_text() == "mine"


def test_an_output_below_a_file_is_not_blamed_on_the_store(selfhost, tmp_path):
    (tmp_path / "file").write_text("mine")
    code, _, err = selfhost("render", "compose", *PLAN, "--output", tmp_path / "file" / "deploy")
    assert code == 4
    assert "SELFHOST_HOME" not in err
    assert "--output" in err


def test_files_that_were_edited_are_named_when_they_are_replaced(render):
    assert "replaced" not in render(*PLAN)[2]
    assert "replaced" not in render(*PLAN)[2]
    path = render.output / "compose.yaml"
    text = path.read_bytes()
    for other in (text + b"# ours\n", text.replace(b"\n", b"\r\n"), b"\xff\n"):
        path.write_bytes(other)
        assert render(*PLAN, "--check")[0] == 3
        assert "replaced, as they were different before: compose.yaml;" in render(*PLAN)[2]
        assert path.read_bytes() == text


def test_files_of_this_machine_that_the_engine_is_told_of_are_named(render, tmp_path):
    assert "is a file of this machine" not in render(*PLAN)[2]
    err = render(*PLAN, "--", "--chat-template", "/srv/chat.jinja")[2]
    assert "`--chat-template /srv/chat.jinja` is no file here and is not rendered" in err


def words_after(words, flag):
    return [following for word, following in itertools.pairwise(words) if word == flag]


@pytest.mark.parametrize(
    "spelling", ["--chat-template {}", "--chat_template={}", "--chat-template /a --chat-template={}"]
)
@pytest.mark.parametrize("plan", [PLAN, ("qwen2.5-72b", "--on", "8x910B3")])
def test_a_chat_template_that_is_here_travels_in_every_spelling(render, tmp_path, spelling, plan):
    (tmp_path / "my.jinja").write_bytes(b"{{ messages }}\r\n")
    before = render(*plan, "--json")[1]
    _, _, err = render(*plan, "--", *spelling.format(tmp_path / "my.jinja").split())
    assert "is a file of this machine" not in err
    assert (render.output / "templates" / "chat.jinja").read_bytes() == b"{{ messages }}\r\n"
    told = engine(render)["command"]
    assert words_after(told, "--chat-template") == ["/var/lib/selfhost/templates/chat.jinja"]
    assert "./templates:/var/lib/selfhost/templates" in binds(render)
    assert "my.jinja" not in " ".join([*told, (render.output / "LEAVING.md").read_text()])
    first = engine(render)["labels"]["selfhost.plan"]
    (tmp_path / "my.jinja").write_text("{{ other }}")
    render(*plan, "--", *spelling.format(tmp_path / "my.jinja").split())
    assert len({json.loads(before)["plan"], first, engine(render)["labels"]["selfhost.plan"]}) == 3


def test_the_chat_template_that_a_recipe_of_ones_own_names_travels_too(render, home):
    text = next(builtin_directory().rglob("smollm2-135m.toml")).read_text()
    assert "\n[serving.sampling]\n" in text
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "ours.jinja").write_text("{{ messages }}")
    serving = '\n[serving]\nchat_template = "ours.jinja"\n\n[serving.sampling]\n'
    named = text.replace("\n[serving.sampling]\n", serving)
    (home / "recipes" / "smollm2-135m.toml").write_text(named)
    render(*PLAN)
    assert (render.output / "templates" / "chat.jinja").read_text() == "{{ messages }}"
    assert words_after(engine(render)["command"], "--chat-template") == ["/var/lib/selfhost/templates/chat.jinja"]


@pytest.mark.parametrize("template", ["{{ messages }}", "template_chatml.jinja"])
def test_a_template_that_is_no_file_here_is_handed_on_as_it_is(render, template):
    assert render(*PLAN, "--", "--chat-template", template)[0] == 0
    assert words_after(engine(render)["command"], "--chat-template") == [template]
    assert not (render.output / "templates").exists()


def test_a_chat_template_that_is_no_text_is_refused(render, tmp_path):
    (tmp_path / "my.jinja").write_bytes(b"\xff")
    code, _, err = render(*PLAN, "--", "--chat-template", str(tmp_path / "my.jinja"))
    assert code == 2
    assert f"the chat template cannot be read: `{tmp_path}/my.jinja`" in err
    assert not render.output.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--chat-template", "typo.jinja"), "`--chat-template typo.jinja` is no file here"),
        (("--chat-template=/there/my.jinja",), "`--chat-template /there/my.jinja` is no file here"),
        (("--chat-template", "/"), "`--chat-template /` is no file here"),
        (("--chat-template", "{{ messages }}" * 400), ""),
    ],
)
def test_a_chat_template_that_is_not_here_is_said_once(render, words, said):
    code, _, err = render(*PLAN, "--", *words)
    assert code == 0
    assert (err.count("is no file here"), err.count("is a file of this machine")) == (bool(said), 0)
    assert said in err


def test_a_file_is_a_chat_template_also_when_its_name_looks_like_one(render, tmp_path):
    (tmp_path / "a{b} $c.jinja").write_text("{{ messages }}")
    render(*PLAN, "--", "--chat-template", str(tmp_path / "a{b} $c.jinja"))
    assert words_after(engine(render)["command"], "--chat-template") == ["/var/lib/selfhost/templates/chat.jinja"]


def test_an_empty_chat_template_is_refused(render, tmp_path):
    (tmp_path / "my.jinja").touch()
    code, _, err = render(*PLAN, "--", "--chat-template", str(tmp_path / "my.jinja"))
    assert (code, render.output.exists()) == (2, False)
    assert f"the chat template is empty: `{tmp_path}/my.jinja`" in err


def test_a_chat_template_that_kubectl_apply_would_refuse_is_refused(render, tmp_path):
    """Go writes `<` as six bytes."""
    (tmp_path / "my.jinja").write_text("<" * (42 << 10))
    words = (*PLAN, "--", "--chat-template", str(tmp_path / "my.jinja"))
    assert render(*words)[0] == 0
    code, _, err = render(*words, target="k8s")
    assert (code, "too large for Kubernetes" in err) == (2, True)
    (tmp_path / "my.jinja").write_text("<" * (41 << 10))
    assert render(*words, target="k8s")[0] == 0


def test_a_recipe_of_ones_own_is_found_by_a_unit_of_systemd(render, home):
    text = next(builtin_directory().rglob("smollm2-135m.toml")).read_text()
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "smollm2-135m.toml").write_text(text)
    render(*PLAN, "--", "--seed", "1", target="systemd")
    unit = (render.output / "smollm2-135m.service").read_text()
    assert " --recipe-path /etc/selfhost/smollm2-135m/recipes --offline " in unit


def test_metrics_are_not_where_the_gateway_is(render):
    render("deepseek-v3", "--on", "2x8xH20", "--port", "8081")
    text = (render.output / "node0" / "gateway" / "nginx.conf").read_text()
    assert "listen 127.0.0.1:8081;" in text
    assert "listen 127.0.0.1:8082;" in text


@pytest.mark.parametrize(
    ("target", "words", "code"),
    [
        ("compose", PLAN, 0),
        ("k8s", PLAN, 0),
        ("systemd", PLAN, 2),
        ("quadlet", ("deepseek-v3", "--on", "2x8xH20"), 2),
        ("k8s-lws", ("deepseek-v3", "--on", "2x8xH20"), 0),
    ],
)
def test_a_port_for_root_is_refused_where_the_server_listens_on_the_machine_itself(render, target, words, code):
    found, _, err = render(*words, "--port", "443", target=target)
    assert found == code
    assert ("`--port 8443`" in err) is bool(code)
    assert render.output.exists() is not bool(code)


@pytest.mark.parametrize(("target", "group"), [("compose", "0"), ("systemd", "selfhost")])
def test_the_gateway_can_read_the_keys_that_its_example_has_made(render, target, group):
    render("qwen2.5-72b", "--on", "8x910B3", target=target)
    assert f"chgrp {group} keys.conf" in (render.output / "gateway" / "keys.conf.example").read_text()
    unit = render.output / "qwen2-5-72b-gateway.service"
    runs_as = (
        yaml.safe_load((render.output / "compose.yaml").read_text())["services"]["gateway"]["user"]
        if group == "0"
        else ""
    )
    assert runs_as.endswith(":0") if group == "0" else "\nGroup=selfhost\n" in unit.read_text()


@pytest.mark.parametrize(
    ("target", "folder", "file", "looked_for"),
    [
        ("compose", "", "compose.yaml", "source: ./gateway/keys\n"),
        ("quadlet", "/etc/containers/systemd/qwen2-5-72b/", "qwen2-5-72b-gateway.container", "=./gateway/keys:"),
        ("systemd", "/etc/selfhost/qwen2-5-72b/", "gateway/nginx.conf", "/etc/selfhost/qwen2-5-72b/gateway/keys/"),
    ],
)
def test_the_readme_makes_a_key_where_the_gateway_looks(render, selfhost, *, target, folder, file, looked_for):
    render("qwen2.5-72b", "--on", "8x910B3", target=target)
    steps = re.findall(r"(?m)^\d+\. (.*)$", (render.output / "README.md").read_text())
    (number,) = [number for number, step in enumerate(steps) if step.startswith("An API key")]
    assert not [step for step in steps[number:] if step.startswith("The units")], "its folder is not there before"
    place = re.search(r"`selfhost key new NAME --gateway (\S+)`", steps[number])[1]
    assert place == f"{folder}gateway/keys/keys.conf"
    assert looked_for in (render.output / file).read_text()
    assert selfhost("key", "new", "alice", "--gateway", render.output / place.removeprefix(folder))[0] == 0


@pytest.mark.parametrize("by_path", [False, True])
def test_a_model_without_a_recipe_is_opened_in_the_store_as_its_files_are_links_into_it(render, home, by_path):
    data = Path(__file__).parent.parent / "data" / "render" / "models" / "tiny-qwen"
    directory = home / "models" / "Org" / "tiny"
    directory.mkdir(parents=True)
    (directory / "config.json").write_text((data / "config.json").read_text())
    (directory / LOCK_NAME).write_text("{}")
    words = (directory if by_path else "Org/tiny", "--on", "2xA800-80G", "--store", "/srv/selfhost")
    assert render(*words)[0] == 0
    assert engine(render)["command"][0] == "/var/lib/selfhost/models/Org/tiny"
    mounted = [bind for bind in binds(render) if "models" in bind or "blobs" in bind]
    assert mounted == [f"/srv/selfhost/{part}:/var/lib/selfhost/{part}" for part in ("models", "blobs")]
    assert engine(render)["labels"]["selfhost.model-sha256"] == hashlib.sha256(b"{}").hexdigest()
    assert "selfhost pull Org/tiny`" in (render.output / "README.md").read_text()
    assert "`/srv/selfhost/models/Org/tiny` is a plain directory" in (render.output / "LEAVING.md").read_text()


def test_a_readme_says_where_images_come_from(render):
    render(*PLAN)
    assert "`selfhost image build cpu` makes the first." in (render.output / "README.md").read_text()
    render(*PLAN, "--image", f"registry.example/engine@{DIGEST}")
    assert "write to `/var/lib/selfhost` and `/var/cache/selfhost`" in (render.output / "README.md").read_text()
    render("qwen2.5-72b", "--on", "8x910B3", target="k8s")
    text = (render.output / "README.md").read_text()
    assert "as nobody pulls them: `localhost/selfhost-ascend:" in text
    assert "To be pulled: `docker.io/library/nginx:1.28-alpine`." in text


@pytest.mark.parametrize("words", [("--distributed-timeout-seconds", "7200"), ("--distributed_timeout_seconds=7200",)])
def test_a_patience_between_nodes_that_was_given_is_the_only_one(render, words):
    render("deepseek-v3", "--on", "2x8xH20", "--", *words)
    document = yaml.safe_load((render.output / "node1" / "compose.yaml").read_text())
    commands = [" ".join(document["services"]["engine"]["command"]), (render.output / "LEAVING.md").read_text()]
    counts = [len(re.findall(r"distributed.timeout.seconds", command)) for command in commands]
    assert counts == [1, 2], "once for each node"


@pytest.mark.parametrize(
    ("target", "store", "told"),
    [("systemd", "/root/.local/share/selfhost", True), ("systemd", "/srv/a", False), ("compose", "/home/a/b", False)],
)
def test_a_store_that_a_units_user_cannot_get_to_is_told(render, target, store, told):
    assert ("below a home directory" in render(*PLAN, "--store", store, target=target)[2]) is told


@pytest.mark.parametrize(("target", "reader"), [("compose", "uid 2000 or group 0"), ("systemd", None)])
def test_a_readme_says_who_must_be_able_to_read_the_model(render, target, reader):
    render(*PLAN, target=target)
    step = next(line for line in (render.output / "README.md").read_text().splitlines() if line.startswith("1. "))
    assert ("must be able to read" in step) is bool(reader)
    assert (reader or "The model") in step


def test_a_directory_whose_path_cannot_be_mounted_needs_another_one(render, tmp_path):
    data = Path(__file__).parent.parent / "data" / "render" / "models" / "tiny-qwen"
    directory = tmp_path / "tiny:v1"
    directory.mkdir()
    (directory / "config.json").write_text((data / "config.json").read_text())
    code, _, err = render(directory, "--on", "2xA800-80G")
    assert code == 2
    assert "name another place: `--directory /srv/models`" in err
    assert render(directory, "--on", "2xA800-80G", "--directory", "/srv/tiny")[0] == 0
