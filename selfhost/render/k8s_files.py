"""Objects -> files of a folder for `kubectl apply -k`, with what to do before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.hardware.types import Platform
from selfhost.render import k8s_objects as objects
from selfhost.render.deployment import Entry
from selfhost.render.gateway import KEYS_NAME
from selfhost.render.handover import npu_network
from selfhost.render.k8s_names import base_name, claim_name, service_name
from selfhost.render.kubernetes import IMAGE_VOLUME_DEFAULT_MINOR, Storage
from selfhost.render.leaving import leaving
from selfhost.render.rendered import RenderedFile, header, yaml_text

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment


def cluster_files(deployment: Deployment, name: str, workload: dict[str, Any]) -> list[RenderedFile]:
    """All files of a deployment; `name` is that of the workload's."""
    found = {
        "namespace.yaml": [objects.namespace(deployment)],
        "store.yaml": objects.claim(deployment),
        "config.yaml": objects.config_maps(deployment),
        name: [workload],
        "service.yaml": [objects.service(deployment)],
        "network.yaml": objects.network_policies(deployment),
        "budget.yaml": [objects.disruption_budget(deployment)],
    }
    main = {path: documents for path, documents in found.items() if documents}
    # Apart: a cluster without the Prometheus operator does not know these kinds, and would refuse all the rest.
    files = main | {"monitoring/monitoring.yaml": objects.monitoring(deployment)}
    files["kustomization.yaml"] = [objects.kustomization(list(main))]
    files["monitoring/kustomization.yaml"] = [objects.kustomization(["monitoring.yaml"])]
    texts = {path: header(deployment) + yaml_text(*documents) for path, documents in files.items()}
    texts["README.md"] = _readme(deployment)
    return [*(RenderedFile(path=path, text=text) for path, text in texts.items()), leaving(deployment)]


def _readme(deployment: Deployment) -> str:
    name, space = base_name(deployment), deployment.kubernetes.namespace
    plan = deployment.plan
    return f"""\
# {plan.served_model_name} on Kubernetes

Rendered by selfhost; render again instead of editing, or put a kustomization of your own over this folder.

{_NEEDS[deployment.platform]}
{_images(deployment)}
{_network(deployment)}
1. The namespace: `kubectl apply -f namespace.yaml`
2. {_store_step(deployment)}
3. {_keys_step(deployment)}
4. The rest: `kubectl apply -k .`. It answers within {deployment.times.start_s} s, else its pod starts again.
5. Where the Prometheus operator runs: put a key into a secret,
   `kubectl -n {space} create secret generic {name}-metrics --from-literal=token="$KEY"`, then
   `kubectl apply -k monitoring`.

Requests: service `{service_name(deployment)}`, port {deployment.port}, from pods of the namespace `{space}` and of
namespaces with the label `{objects.ACCESS}=true`; ingress controllers and Prometheus need it on theirs. Nothing goes
out, but between pods of this deployment{_names(deployment)}.{_user(deployment)}

Drain of a machine: the disruption budget refuses to evict pods of this deployment, as nobody is served without one of
them. Delete the pod yourself when that is wanted.
"""


def _user(deployment: Deployment) -> str:
    """Who the pods run as, where the files do not say it. Source: OpenShift docs, managing SCCs; k8s_pod."""
    cluster = deployment.kubernetes
    if not cluster.any_user:
        return ""
    said = """

No uid and no group is written. OpenShift's `restricted-v2` gives the pods a uid of the project's range, an fsGroup, and
group 0, which may read and write where uid 2000 may. Other clusters run them as their images say: 2000:0 in those of
selfhost; an image of root, as nginx's own, is refused there."""
    if cluster.storage is Storage.HOST:
        said += " Directories of the host need another SCC than\n`restricted-v2`."
    if deployment.model_image:
        said += " Image volumes are let through by OpenShift 4.21\nor newer."
    return said


_NEEDS = {
    Platform.CUDA: "Wanted in the cluster: NVIDIA's device plugin.",
    Platform.ASCEND: "Wanted in the cluster: Huawei's device plugin, and Ascend Docker Runtime for the driver.",
    Platform.CPU: "Wanted in the cluster: nothing else.",
}


def _images(deployment: Deployment) -> str:
    """Where the images have to be."""
    here = [image.reference for image in deployment.images if image.is_local]
    rest = [image.reference for image in deployment.images if not image.is_local]
    said = [f"On every machine that may run it, as nobody pulls them: {_listed(here)}."] if here else []
    return " ".join([*said, *([f"To be pulled: {_listed(rest)}."] if rest else [])])


def _network(deployment: Deployment) -> str:
    """A paragraph about the network of NPUs; nothing for others."""
    check = npu_network(deployment)
    return f"\n{check}\n" if check else ""


def _listed(references: list[str]) -> str:
    return ", ".join(f"`{reference}`" for reference in references)


def _names(deployment: Deployment) -> str:
    """What several nodes need besides."""
    return (
        " and to the cluster's DNS (a node-local cache needs a policy of its own)" if len(deployment.nodes) > 1 else ""
    )


def _store_step(deployment: Deployment) -> str:
    plan, claim = deployment.plan, claim_name(deployment)
    parts = "`models/`, `blobs/` and `accepted/`" if deployment.research_only else "`models/` and `blobs/`"
    if deployment.kubernetes.storage is Storage.HOST:
        place = deployment.directory or deployment.store
        return (
            f"The model: in `{place}` on every machine that may run it (`selfhost pull` or `selfhost bundle import`)."
        )
    if deployment.model_image:
        gate = (
            ", and the feature gate `ImageVolume`" if deployment.kubernetes.minor < IMAGE_VOLUME_DEFAULT_MINOR else ""
        )
        return (
            "The model: its image is mounted; `selfhost bundle push VOLUME REGISTRY/REPOSITORY --as modelcar` makes"
            f" one.\n   Wanted on every machine: containerd 2.1 or CRI-O 1.31 (or newer){gate}."
        )
    if deployment.directory:
        return f"The model: its directory at the top of the claim `{claim}`."
    store = f"{parts} of a store that has {plan.model} ({plan.variant})"
    if deployment.kubernetes.claim:
        return f"The model: {store} at the top of the claim `{claim}`."
    return (
        f"The model: `kubectl apply -f store.yaml`, and {store}\n   at the top of the claim `{claim}`, for example by a"
        " pod that mounts it and runs `selfhost bundle import`."
    )


def _keys_step(deployment: Deployment) -> str:
    name, space = base_name(deployment), deployment.kubernetes.namespace
    start = f"kubectl -n {space} create secret generic {name}-keys"
    if deployment.entry is Entry.SELFHOST:
        return f"Keys: `selfhost key new NAME`, then `{start} --from-file=keys.json=SELFHOST_HOME/keys/keys.json`."
    return (
        f"Keys: `selfhost key new NAME --gateway {KEYS_NAME}` for each, then\n   `{start} --from-file={KEYS_NAME}`."
        f'\n   Without selfhost: a line `"~^KEY$" "NAME";` for each key.'
        f"\n   After a change, also when a key ends: `kubectl -n {space} delete secret {name}-keys`, the same again,"
        f"\n   and in two minutes `kubectl -n {space} exec POD -c gateway -- nginx -e stderr -s reload`."
    )
