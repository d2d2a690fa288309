"""Every plan for every target, byte for byte; what the files of one plan say must agree."""

from __future__ import annotations

import json
import re
import shlex

import pytest
import yaml

from tests.render import golden
from tests.render.engine_commands import systemd_words
from tests.render.kubernetes import plans

CASES = [(plan, target) for plan in golden.PLANS for target in golden.TARGETS]
SEVERAL = [plan for plan, words in golden.PLANS.items() if any(re.match(r"\d+x\d+x", word) for word in words)]
HEALTHY = "urllib.request"


def kept(plan, target):
    return golden.kept(plan, target)


def composes(plan):
    found = {
        path: yaml.safe_load(text) for path, text in kept(plan, "compose").items() if path.endswith("compose.yaml")
    }
    return [found[path] for path in sorted(found)]


@pytest.mark.parametrize(("plan", "target"), CASES, ids=[f"{plan}-{target}" for plan, target in CASES])
def test_files_are_as_they_were_reviewed(selfhost, plan, target, tmp_path):
    assert selfhost(*golden.arguments(plan, target, tmp_path))[0] == 0
    assert golden.files(tmp_path) == kept(plan, target)


@pytest.mark.parametrize("case", plans.CASES)
def test_files_for_kubernetes_are_as_they_were_reviewed(case):
    assert golden.of_cluster(case) == golden.files(golden.CLUSTERS / case)


def test_what_is_kept_is_of_plans_that_are_rendered():
    assert {path.name for path in golden.DATA.iterdir()} == {*golden.PLANS, "models", golden.CLUSTERS.name}
    assert {path.name for path in golden.CLUSTERS.iterdir()} == {*plans.CASES}


def test_nothing_of_the_machine_that_rendered_is_in_the_files():
    said = "\n".join(text for plan, target in CASES for text in kept(plan, target).values())
    assert str(golden.DATA.parent.parent.parent) not in said


@pytest.mark.parametrize("plan", golden.PLANS)
def test_all_targets_of_containers_name_the_same_images_and_the_list_is_complete(plan):
    listed = {line for line in kept(plan, "images")["images.txt"].splitlines() if not line.startswith("#")}
    of_compose = {service["image"] for document in composes(plan) for service in document["services"].values()}
    units = "\n".join(text for path, text in kept(plan, "quadlet").items() if path.endswith(".container"))
    assert listed == of_compose == set(re.findall(r"^Image=(.*)$", units, re.MULTILINE))


@pytest.mark.parametrize("plan", golden.PLANS)
def test_every_target_starts_the_same_engine_with_the_same_options(plan):
    """But for where the model lies and where it listens, which differ from target to target."""
    of_compose = [words(document["services"]["engine"]["command"]) for document in composes(plan)]
    assert of_compose
    for target, ending, key in (("quadlet", ".container", "Exec"), ("systemd", ".service", "ExecStart")):
        texts = [text for path, text in kept(plan, target).items() if path.endswith(ending) and "-gateway" not in path]
        found = [systemd_words(re.search(rf"^{key}=(.*)$", text, re.MULTILINE)[1]) for text in texts]
        assert [words(argv[argv.index("serve") + 1 :]) for argv in found] == of_compose


def words(argv):
    """Without what differs: model, host, port, the template's place, how the first node is written."""
    made = [re.sub(r"^\$\{FIRST_NODE.*\}$", "FIRST", word.replace("$$", "$")) for word in argv[1:]]
    for flag in {"--host", "--port", "--chat-template"} & {*made}:
        place = made.index(flag)
        made[place : place + 2] = []
    return made


@pytest.mark.parametrize("plan", golden.PLANS)
def test_the_way_out_has_a_command_for_each_node_that_is_the_plan_itself(plan):
    said = kept(plan, "compose")["LEAVING.md"]
    commands = [
        shlex.split(found.replace("\\\n", ""))
        for found in re.findall(r"^vllm serve (?:.*\\\n)*.*$", said, re.MULTILINE)
    ]
    assert len(commands) == len(composes(plan))
    for command, document in zip(commands, composes(plan), strict=True):
        engine = document["services"]["engine"]
        if engine["entrypoint"] == ["vllm", "serve"]:
            mine = ["FIRST" if word == "$FIRST_NODE" else word for word in command[3:]]
            assert words(["model", *mine]) == words(engine["command"])
        else:
            asked = dict(zip(engine["command"], engine["command"][1:], strict=False))
            for flag in ("--tensor-parallel-size", "--max-model-len", "--served-model-name"):
                assert command[command.index(flag) + 1] == asked[flag]


@pytest.mark.parametrize("plan", golden.PLANS)
def test_a_stop_leaves_the_engine_the_time_it_needs_and_a_start_is_not_given_up_early(plan):
    for document in composes(plan):
        engine = document["services"]["engine"]
        argv = engine["command"]
        drain = int(argv[argv.index("--shutdown-timeout") + 1]) if "--shutdown-timeout" in argv else 10
        assert int(engine["stop_grace_period"].removesuffix("s")) >= drain + 10
        patience = int(engine["environment"]["VLLM_ENGINE_READY_TIMEOUT_S"])
        if "healthcheck" in engine:
            assert int(engine["healthcheck"]["start_period"].removesuffix("s")) > patience
    for text in (text for path, text in kept(plan, "quadlet").items() if path.endswith(".container")):
        if period := re.search(r"^HealthStartPeriod=(\d+)s$", text, re.MULTILINE):
            assert int(re.search(r"^TimeoutStartSec=(\d+)$", text, re.MULTILINE)[1]) > int(period[1])


@pytest.mark.parametrize("plan", SEVERAL)
def test_the_engine_of_several_nodes_is_reached_through_the_gateway_only(plan):
    first, *others = composes(plan)
    engine = first["services"]["engine"]["command"]
    port = engine[engine.index("--port") + 1]
    gateway = next(text for path, text in kept(plan, "compose").items() if path == "node0/gateway/nginx.conf")
    assert engine[engine.index("--host") + 1] == "127.0.0.1"
    assert f"proxy_pass http://127.0.0.1:{port};" in gateway
    listens = re.findall(r"^\s*listen (\S+);", gateway, re.MULTILINE)
    assert listens
    assert f"127.0.0.1:{port}" not in listens
    assert all("gateway" not in document["services"] for document in others)
    assert all("ports" not in service for document in (first, *others) for service in document["services"].values())


def test_a_node_without_an_api_asks_the_first_one_whether_it_lives():
    for plan, port in (("deepseek-v3-2x8xh20", 29501), ("glm-4.5-air-dp-ep-2x8xh100", 8000)):
        first, other = (document["services"]["engine"] for document in composes(plan))
        assert HEALTHY in first["healthcheck"]["test"][-1]
        assert re.search(rf"create_connection\(\('\$\{{FIRST_NODE[^']*', {port}\)", other["healthcheck"]["test"][-1])


@pytest.mark.parametrize("plan", golden.PLANS)
def test_nothing_in_a_container_may_do_more_than_it_must(plan):
    for document in composes(plan):
        for service in document["services"].values():
            assert service["user"] == "2000:0"
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["pull_policy"] == "never"
            assert all(
                isinstance(mount, dict) or mount.startswith(("state:", "cache:")) for mount in service["volumes"]
            )
            binds = [mount for mount in service["volumes"] if isinstance(mount, dict)]
            assert all(bind["read_only"] and not bind["bind"]["create_host_path"] for bind in binds)
            assert not any("key" in name.lower() for name in service.get("environment", {}))


@pytest.mark.parametrize("plan", golden.PLANS)
def test_a_stock_engine_has_an_init_that_reaps_and_ours_is_one_itself(plan):
    engines = [document["services"]["engine"] for document in composes(plan)]
    stock = engines[0]["entrypoint"] == ["vllm", "serve"]
    assert [engine.get("init", False) for engine in engines] == [stock] * len(engines)
    units = [text for path, text in kept(plan, "quadlet").items() if path.endswith(".container")]
    assert sum("\nRunInit=true\n" in text for text in units) == (len(engines) if stock else 0)


@pytest.mark.parametrize("plan", [plan for plan, words in golden.PLANS.items() if "--chat-template" in words])
def test_a_chat_template_travels_and_each_engine_is_told_where_it_is(plan):
    text = (golden.DATA / "models" / "chat.jinja").read_text()
    for target in ("compose", "quadlet", "systemd"):
        found = kept(plan, target)
        folders = [f"node{number}/" for number in range(2)] if plan in SEVERAL else [""]
        assert [found[f"{folder}templates/chat.jinja"] for folder in folders] == [text] * len(folders)
    (first, *_) = composes(plan)
    service = first["services"]["engine"]
    (bind,) = [bind for bind in service["volumes"] if "templates" in str(bind)]
    told = service["command"][service["command"].index("--chat-template") + 1]
    assert (bind["source"], f"{bind['target']}/chat.jinja") == ("./templates", told)
    units = {path: text for path, text in kept(plan, "systemd").items() if path.endswith(".service")}
    name = first["name"]
    engines = [text for path, text in units.items() if "gateway" not in path]
    assert all(f" --chat-template /etc/selfhost/{name}/templates/chat.jinja\n" in text for text in engines)
    containers = [text for path, text in kept(plan, "quadlet").items() if path.endswith(f"/{name}.container")]
    assert all("\nVolume=./templates:/var/lib/selfhost/templates:ro\n" in text for text in containers)
    assert " --chat-template templates/chat.jinja" in kept(plan, "compose")["LEAVING.md"].replace("\\\n ", "")


def test_a_variable_that_is_not_meant_reaches_the_engine_as_it_is(selfhost, tmp_path):
    more = ("--", "--override-generation-config", json.dumps({"stop": "$HOME 100%"}))
    for target in ("compose", "quadlet", "systemd"):
        plan = ("render", target, "qwen2.5-7b", "--on", "RTX4090", "--output", tmp_path / target)
        assert selfhost(*plan, *more)[0] == 0
    document = yaml.safe_load((tmp_path / "compose" / "compose.yaml").read_text())
    assert document["services"]["engine"]["command"][-1] == '{"stop": "$$HOME 100%"}'
    unit = (tmp_path / "systemd" / "qwen2-5-7b.service").read_text()
    line = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1]
    assert "$$HOME 100%%" in line
    assert systemd_words(line)[-1] == '{"stop": "$HOME 100%"}'


@pytest.mark.parametrize("plan", [plan for plan in golden.PLANS if len(composes(plan)) == 1])
def test_serve_takes_the_words_of_its_containers_and_asks_for_the_key_that_their_address_needs(selfhost, plan):
    engine = composes(plan)[0]["services"]["engine"]
    if engine["entrypoint"] == ["vllm", "serve"]:
        assert "--middleware" not in engine["command"]
        return
    code, _, err = selfhost("serve", *engine["command"])
    if plan.startswith("directory"):
        assert (code, "/models/tiny-qwen" in err) == (2, True)  # it is in the container only
    else:
        assert (code, "selfhost key new" in err) == (6, True)
