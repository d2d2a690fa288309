"""What every rendered deployment must have, whatever its plan."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import yaml

from selfhost.errors import UsageError
from selfhost.render.k8s import k8s
from selfhost.render.k8s_names import NAME_CHARACTERS, base_name
from selfhost.render.lws import lws
from selfhost.units import GIB, MIB
from tests.render.kubernetes.plans import (
    CASES,
    MODEL_IMAGE,
    ONE_NODE,
    SEVERAL_NODES,
    container,
    deployment,
    objects,
    of_a_directory,
    pods,
    rendered,
)

EVERY = pytest.mark.parametrize("name", CASES)
ROLES = {"k8s": ("leader",), "k8s-lws": ("leader", "worker")}
PODS = pytest.mark.parametrize(("name", "role"), [(name, role) for name in CASES for role in ROLES[CASES[name].target]])


def kind(name, wanted):
    return [found for (what, _), found in objects(name).items() if what == wanted]


def mib(text):
    assert text.endswith("Mi")
    return int(text.removesuffix("Mi"))


def matches(policy, labels):
    return policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


@EVERY
def test_every_pod_is_looked_at(name):
    assert tuple(pods(name)) == ROLES[CASES[name].target]


@PODS
def test_the_engine_gets_more_time_to_stop_than_it_takes(name, role):
    times, spec = deployment(name).times, pods(name)[role]["spec"]
    hook = container(pods(name)[role])["lifecycle"]["preStop"]
    waits = hook["sleep"]["seconds"] if "sleep" in hook else int(hook["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] >= waits + times.drain_s + 10


@PODS
def test_the_wait_before_a_stop_is_native_where_the_cluster_has_it(name, role):
    for found in pods(name)[role]["spec"]["containers"]:
        assert ("sleep" in found["lifecycle"]["preStop"]) == (CASES[name].kubernetes.minor >= 30)


@PODS
def test_a_start_is_given_all_the_time_that_it_may_take(name, role):
    probe = container(pods(name)[role])["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] >= deployment(name).times.start_s


@PODS
def test_probes_ask_nothing_that_needs_a_key(name, role):
    for found in pods(name)[role]["spec"]["containers"]:
        for which, probe in found.items():
            if which.endswith("Probe"):
                assert "/v1" not in json.dumps(probe)
                if "httpGet" in probe:
                    assert probe["httpGet"] == {"path": "/health", "port": "http"}
                    assert [port["name"] for port in found["ports"]] == ["http"]


@PODS
def test_pods_are_locked_down(name, role):
    spec = pods(name)[role]["spec"]
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    user = {key: value for key, value in spec["securityContext"].items() if key in {"runAsUser", "runAsGroup"}}
    assert user == ({} if CASES[name].kubernetes.any_user else {"runAsUser": 2000, "runAsGroup": 0})
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for found in [*spec["initContainers"], *spec["containers"]]:
        assert found["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert found["imagePullPolicy"] in {"Never", "IfNotPresent"}


@PODS
def test_what_is_mounted_exists_and_models_are_read_only(name, role):
    spec = pods(name)[role]["spec"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    mounted = [mount for found in [*spec["initContainers"], *spec["containers"]] for mount in found["volumeMounts"]]
    assert {mount["name"] for mount in mounted} == volumes
    for mount in mounted:
        if mount["name"] in {"store", "keys", "gateway"}:
            assert mount["readOnly"] is True


@PODS
def test_requests_are_limits_for_memory_and_accelerators(name, role):
    resources = container(pods(name)[role])["resources"]
    limits = dict(resources["limits"])
    assert {key: value for key, value in resources["requests"].items() if key != "cpu"} == limits
    count = [value for key, value in limits.items() if "/" in key]
    assert count == ([] if "cpu" in name else [deployment(name).devices_per_node])


@PODS
def test_shared_memory_is_in_memory_and_part_of_the_limit(name, role):
    template = pods(name)[role]
    (shared,) = [volume["emptyDir"] for volume in template["spec"]["volumes"] if volume["name"] == "dshm"]
    assert shared["medium"] == "Memory"
    size, limit = mib(shared["sizeLimit"]), mib(container(template)["resources"]["limits"]["memory"])
    assert size == deployment(name).shm_bytes / MIB
    assert limit > size + 1024


@EVERY
def test_each_name_is_one_that_does_not_become_a_variable_of_the_engine(name):
    assert "vllm" not in {found for _, found in objects(name)}


@pytest.mark.parametrize("name", SEVERAL_NODES)
def test_the_service_does_not_take_the_name_of_the_controllers_own(name):
    (group,), (service,) = kind(name, "LeaderWorkerSet"), kind(name, "Service")
    assert service["metadata"]["name"] != group["metadata"]["name"]


@EVERY
def test_requests_reach_the_first_node_only(name):
    (service,) = kind(name, "Service")
    selector, ports = service["spec"]["selector"], service["spec"]["ports"]
    for role, template in pods(name).items():
        assert (selector.items() <= template["metadata"]["labels"].items()) == (role == "leader")
    front = [port for found in pods(name)["leader"]["spec"]["containers"] for port in found.get("ports", [])]
    assert [port["name"] for port in front] == [port["targetPort"] for port in ports]


@EVERY
def test_nothing_comes_in_or_goes_out_that_is_not_named(name):
    policies, several = kind(name, "NetworkPolicy"), name in SEVERAL_NODES
    for role, template in pods(name).items():
        found = [policy["spec"] for policy in policies if matches(policy, template["metadata"]["labels"])]
        assert {"Ingress", "Egress"} <= {way for spec in found for way in spec["policyTypes"]}
        out = [rule for spec in found for rule in spec.get("egress", [])]
        for rule in out:
            assert all("podSelector" in peer or "namespaceSelector" in peer for peer in rule["to"])
            # To the own pods with every port; to others to ask for names only.
            assert "ports" not in rule or {port["port"] for port in rule["ports"]} == {53, 5353}
        assert bool(out) == several
        into = [rule for spec in found for rule in spec.get("ingress", [])]
        assert len(into) == (role == "leader") + several


@EVERY
def test_the_front_port_is_the_only_one_that_others_reach(name):
    (policy,) = [found for found in kind(name, "NetworkPolicy") if found["metadata"]["name"].endswith("-requests")]
    (rule,) = policy["spec"]["ingress"]
    (port,) = [
        port["containerPort"] for found in pods(name)["leader"]["spec"]["containers"] for port in found.get("ports", [])
    ]
    assert rule["ports"] == [{"protocol": "TCP", "port": port}]


@EVERY
def test_a_gateway_asks_the_port_where_the_engine_listens_on_loopback(name):
    args = container(pods(name)["leader"])["args"]
    port = args[args.index("--port") + 1]
    maps = [found for found in kind(name, "ConfigMap") if found["metadata"]["name"].endswith("-gateway")]
    if not maps:
        assert args[0] == "selfhost"
        return
    assert args[args.index("--host") + 1] == "127.0.0.1"
    assert set(re.findall(r"proxy_pass http://(\S+);", maps[0]["data"]["nginx.conf"])) == {f"127.0.0.1:{port}"}


@EVERY
def test_secrets_are_named_and_never_in_files(name):
    assert not kind(name, "Secret")
    wanted = [
        volume["secret"]["secretName"] for volume in pods(name)["leader"]["spec"]["volumes"] if "secret" in volume
    ]
    assert wanted == [f"{base_name(deployment(name))}-keys"]
    assert wanted[0] in rendered(name)["README.md"]
    if name in SEVERAL_NODES:
        assert not [volume for volume in pods(name)["worker"]["spec"]["volumes"] if "secret" in volume]


@EVERY
def test_no_image_is_named_that_the_list_of_images_has_not(name):
    text = "".join(rendered(name).values())
    assert set(re.findall(r"^ *(?:image|reference): (\S+)$", text, re.MULTILINE)) == {
        image.reference for image in deployment(name).images
    }


@EVERY
def test_a_disruption_leaves_no_pod_out(name):
    (budget,) = kind(name, "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == len(deployment(name).nodes)
    for template in pods(name).values():
        assert budget["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


@EVERY
def test_kustomizations_name_all_files_and_keep_kinds_of_operators_apart(name):
    files = rendered(name)
    for folder in ("", "monitoring/"):
        listed = yaml.safe_load(files[f"{folder}kustomization.yaml"])["resources"]
        there = {path.removeprefix(folder) for path in files if path.startswith(folder) and path.endswith(".yaml")}
        assert {*listed} == {path for path in there if "/" not in path} - {"kustomization.yaml"}
    main = "".join(files[path] for path in yaml.safe_load(files["kustomization.yaml"])["resources"])
    assert "monitoring.coreos.com" not in main


@EVERY
def test_all_is_in_one_namespace_whose_standard_the_pods_keep(name):
    (space,) = kind(name, "Namespace")
    wanted = CASES[name].kubernetes.namespace
    assert space["metadata"]["name"] == wanted
    assert {
        found["metadata"].get("namespace") for (what, _), found in objects(name).items() if what != "Namespace"
    } == {wanted}
    host = any("hostPath" in volume for template in pods(name).values() for volume in template["spec"]["volumes"])
    image = any("image" in volume for template in pods(name).values() for volume in template["spec"]["volumes"])
    # The standard itself lets image volumes through from 1.33 on.
    level = "privileged" if host else "baseline" if image and CASES[name].kubernetes.minor < 33 else "restricted"
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == level


@EVERY
def test_a_claim_is_made_unless_one_is_named_or_the_host_has_the_store(name):
    cluster, claims = CASES[name].kubernetes, kind(name, "PersistentVolumeClaim")
    (store,) = [volume for volume in pods(name)["leader"]["spec"]["volumes"] if volume["name"] == "store"]
    if cluster.storage == "host":
        assert store["hostPath"]["path"] == "/srv/selfhost"
        assert not claims
    elif cluster.storage == "image":
        assert store["image"] == {"reference": MODEL_IMAGE, "pullPolicy": "IfNotPresent"}
        assert not claims
    elif cluster.claim:
        assert store["persistentVolumeClaim"]["claimName"] == cluster.claim
        assert not claims
    else:
        (claim,) = claims
        assert store["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        size = claim["spec"]["resources"]["requests"]["storage"]
        assert int(size.removesuffix("Gi")) * GIB > deployment(name).plan.weight_bytes_total
        assert claim["spec"]["accessModes"] == ["ReadWriteMany" if name in SEVERAL_NODES else "ReadWriteOnce"]


@pytest.mark.parametrize("name", ONE_NODE)
def test_a_rollout_has_as_long_as_a_start(name):
    (found,) = kind(name, "Deployment")
    assert found["spec"]["progressDeadlineSeconds"] > deployment(name).times.start_s
    assert found["spec"]["selector"]["matchLabels"].items() <= found["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("on", "resource"),
    [
        ("qwen2.5-7b-1xRTX4090", "nvidia.com/gpu"),
        ("qwen2.5-72b-8x910B3", "huawei.com/Ascend910"),
        ("deepseek-v3-4x8x910B3", "huawei.com/Ascend910B3"),
    ],
)
def test_accelerators_are_called_as_the_cluster_calls_them(on, resource):
    assert resource in container(pods(on)["leader"])["resources"]["limits"]


def test_a_model_of_a_directory_is_mounted_as_such():
    (file,) = [file for file in k8s(of_a_directory("qwen2.5-7b-1xRTX4090")) if file.path == "deployment.yaml"]
    spec = yaml.safe_load(file.text)["spec"]["template"]["spec"]
    mounts = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "store"]
    assert mounts == [{"name": "store", "mountPath": "/models/tiny", "subPath": "tiny", "readOnly": True}]
    assert spec["initContainers"][0]["args"] == ["/models/tiny"]


@EVERY
def test_openshifts_standard_constraints_take_pods_that_name_no_uid(name):
    """As `restricted-v2` has it: uid and fsGroup are the project's, and only these volumes are mounted.

    Source: openshift/cluster-kube-apiserver-operator, bindata: 0000_20_kube-apiserver-operator_00_scc-restricted-v2.
    """
    volumes = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "secret"}
    for template in pods(name).values():
        spec, text = template["spec"], json.dumps(template)
        named = any(key in text for key in ("runAsUser", "runAsGroup", "fsGroup"))
        assert named is not CASES[name].kubernetes.any_user
        if CASES[name].kubernetes.any_user:
            assert {key for volume in spec["volumes"] for key in volume} - {"name"} <= volumes
            assert not any(key in text for key in ("hostNetwork", "hostPort", "hostPID", "hostIPC", "privileged"))
            assert "OpenShift" in rendered(name)["README.md"]
        else:
            assert "OpenShift" not in rendered(name)["README.md"]


def test_directories_of_the_host_are_not_said_to_be_taken_by_openshifts_standard_constraints():
    before = deployment("glm-4.5-air-8xH100-host")
    after = replace(before, kubernetes=replace(before.kubernetes, any_user=True))
    (readme,) = [file.text for file in k8s(after) if file.path == "README.md"]
    assert "Directories of the host need another SCC" in readme


def test_an_own_recipe_goes_along():
    own = replace(deployment("qwen2.5-7b-1xRTX4090"), recipe='name = "mine"\n')
    texts = {file.path: file.text for file in k8s(own)}
    assert yaml.safe_load(texts["config.yaml"])["data"] == {"qwen2.5-7b.toml": 'name = "mine"\n'}
    assert "/var/lib/selfhost/recipes" in texts["deployment.yaml"]


def test_pods_are_replaced_when_their_configuration_changes():
    before = deployment("qwen2.5-7b-1xRTX4090")
    one, other = (k8s(replace(before, recipe=text))[3].text for text in ("a", "b"))
    key = "selfhost/config-sha256"
    marks = [yaml.safe_load(text)["spec"]["template"]["metadata"]["annotations"][key] for text in (one, other)]
    assert marks[0] != marks[1]


def test_long_names_leave_room_for_what_controllers_append():
    long = replace(deployment("deepseek-v3-2x8xH20"), name="a" * 39 + "-" + "b" * 23)
    assert base_name(long) == "a" * 39
    for document in [
        document for file in lws(long) if file.path.endswith("yaml") for document in yaml.safe_load_all(file.text)
    ]:
        assert len(document.get("metadata", {}).get("name", "")) <= NAME_CHARACTERS + 12


def test_a_plan_on_several_machines_is_not_for_a_deployment_nor_the_other_way_round():
    with pytest.raises(UsageError) as several:
        k8s(deployment("deepseek-v3-2x8xH20"))
    assert "k8s-lws" in several.value.message.hint
    with pytest.raises(UsageError) as one:
        lws(deployment("qwen2.5-7b-1xRTX4090"))
    assert "render k8s " in one.value.message.hint
