"""Kubernetes objects -> containers, Services, policies; pods are found wherever an object holds a pod template.

Source: kubernetes.io/docs/reference/kubernetes-api (Pod v1 core, Service v1, NetworkPolicy networking.k8s.io/v1).
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from selfhost.records import dataclass
from selfhost.render.lint.command import engine_of
from selfhost.render.lint.quantity import number, seconds, size
from selfhost.render.lint.site import LOOPBACK, Container, ImageVolume, Kind, Mount, Policy, Port, Probe, Service
from selfhost.render.lint.values import below, expressions, join, mapping, mappings, sequence, text, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selfhost.render.lint.site import Document, Site

_GRACE_S = 30.0
_LWS = "leaderworkerset.sigs.k8s.io"
_DEVICE_NAMES = ("nvidia.com/", "amd.com/", "gpu.intel.com/", "huawei.com/")
_NO_DEVICES = ("memory", "mps", "rdma", "roce", "hostdev", "sriov", "core")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pod:
    """A pod template."""

    document: Document
    place: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str]
    namespace: str
    config_maps: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


def read(site: Site, document: Document) -> None:
    """Add what an object says."""
    data = mapping(document.data)
    if text(data.get("kind")).endswith("List") and isinstance(data.get("items"), list):
        for number_, item in mappings(data["items"]):
            _object(site, document, item, f"items[{number_}]")
    else:
        _object(site, document, data, "")


def read_config_maps(site: Site, document: Document) -> None:
    """Remember what ConfigMaps hold; containers elsewhere take variables from them."""
    data = mapping(document.data)
    for item in [data, *(item for _, item in mappings(data.get("items")))]:
        if item.get("kind") == "ConfigMap":
            place = text(below(item, "metadata", "namespace")), text(below(item, "metadata", "name"))
            site.config_maps[place] = mapping(item.get("data"))


def _object(site: Site, document: Document, data: Mapping[str, Any], place: str) -> None:
    kind, namespace = text(data.get("kind")), text(below(data, "metadata", "namespace"))
    if kind == "Service":
        site.services.append(_service(document, data, place, namespace))
    elif kind == "NetworkPolicy":
        site.policies.append(_policy(data, namespace))
    elif kind == "Secret":
        site.secrets.extend(
            document.where(join(place, key)) for key in ("data", "stringData") if mapping(data.get(key))
        )
    elif kind == "PrometheusRule":
        found = expressions(data.get("spec"), join(place, "spec"))
        site.expressions.extend((document.where(where), said) for where, said in found)
    elif kind == "ConfigMap":
        site.configs.extend(
            (document.where(join(place, f"data.{key}")), text(value))
            for key, value in mapping(data.get("data")).items()
        )
    elif kind != "CustomResourceDefinition":
        for pod in _pods(document, data, place, namespace):
            labels = {**pod.labels, **_set_by_controller(kind, data, pod.place)}
            site.containers.extend(_containers(replace(pod, labels=labels, config_maps=site.config_maps)))
            site.image_volumes.extend(_image_volumes(pod))


def _set_by_controller(kind: str, data: Mapping[str, Any], place: str) -> dict[str, str]:
    """Labels that pods get beside those of their template. Source: kubernetes-sigs/lws, api/leaderworkerset/v1."""
    if kind != "LeaderWorkerSet":
        return {}
    named = {f"{_LWS}/name": text(below(data, "metadata", "name"))}
    workers = "workerTemplate" in place and below(data, "spec", "leaderWorkerTemplate", "leaderTemplate")
    return named if workers else {**named, f"{_LWS}/worker-index": "0"}


def _pods(document: Document, data: Mapping[str, Any], place: str, namespace: str) -> Iterator[_Pod]:
    """Every mapping that has `containers`, with the labels beside it."""
    if any(True for _ in mappings(data.get("containers"))):
        yield _Pod(document=document, place=place, spec=data, labels={}, namespace=namespace)
        return
    spec = mapping(data.get("spec"))
    labels = {key: text(value) for key, value in mapping(below(data, "metadata", "labels")).items()}
    if any(True for _ in mappings(spec.get("containers"))):
        yield _Pod(document=document, place=join(place, "spec"), spec=spec, labels=labels, namespace=namespace)
        return
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _pods(document, mapping(value), join(place, key), namespace)
        else:
            for number_, item in mappings(value):
                yield from _pods(document, item, f"{join(place, key)}[{number_}]", namespace)


def _containers(pod: _Pod) -> Iterator[Container]:
    for key in ("initContainers", "containers"):
        for number_, said in mappings(pod.spec.get(key)):
            # A sidecar is an init container that stays.
            init = key == "initContainers" and said.get("restartPolicy") != "Always"
            yield _container(pod, f"{join(pod.place, key)}[{number_}]", said, init=init)


def _container(pod: _Pod, place: str, said: Mapping[str, Any], *, init: bool) -> Container:
    image, command = text(said.get("image")), (*_words(said.get("command")), *_words(said.get("args")))
    limits = mapping(below(said, "resources", "limits")) or mapping(below(said, "resources", "requests"))
    mounts = tuple(_mounts(pod, said))
    probes = tuple(_probes(said))
    grace = pod.spec.get("terminationGracePeriodSeconds")
    return Container(
        document=pod.document,
        place=place,
        kind=Kind.KUBERNETES,
        name=text(said.get("name")),
        group=f"{pod.document.file} {pod.document.lines.get('kind', 0)} {pod.place}",
        image=image,
        pull=text(said.get("imagePullPolicy")),
        command=command,
        explicit=bool(command),
        before=(_words(below(said, "lifecycle", "postStart", "exec", "command")),),
        env=_env(pod, said),
        ports=tuple(_ports(said)),
        named_ports={
            text(port.get("name")): number(port.get("containerPort")) or 0 for _, port in mappings(said.get("ports"))
        },
        host_network=pod.spec.get("hostNetwork") is True,
        host_ipc=pod.spec.get("hostIPC") is True,
        mounts=mounts,
        read_only_root=below(said, "securityContext", "readOnlyRootFilesystem") is True,
        device_count=_devices(limits),
        shm_bytes=_shm(mounts, size(limits.get("memory"), decimal=True)),
        memory_bytes=size(limits.get("memory"), decimal=True),
        probes=probes,
        start_limit_s=_start_limit(probes),
        grace_s=seconds(grace) if grace is not None else _GRACE_S,
        pre_stop_s=_pre_stop(said),
        service_links=pod.spec.get("enableServiceLinks") is not False,
        namespace=pod.namespace,
        labels=pod.labels,
        runtime=text(pod.spec.get("runtimeClassName")),
        engine=None if init else engine_of(image, command, replaced=bool(said.get("command"))),
    )


def _image_volumes(pod: _Pod) -> Iterator[ImageVolume]:
    for number_, volume in mappings(pod.spec.get("volumes")):
        if image := mapping(volume.get("image")):
            place = f"{join(pod.place, 'volumes')}[{number_}].image"
            reference, pull = text(image.get("reference")), text(image.get("pullPolicy"))
            yield ImageVolume(document=pod.document, place=place, image=reference, pull=pull)


def _words(value: object) -> tuple[str, ...]:
    return words(value) if isinstance(value, list) else ()


def _env(pod: _Pod, said: Mapping[str, Any]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for _, item in mappings(said.get("envFrom")):
        taken = pod.config_maps.get((pod.namespace, text(below(item, "configMapRef", "name"))), {})
        found |= {f"{text(item.get('prefix'))}{key}": text(value) for key, value in taken.items()}
    for _, item in mappings(said.get("env")):
        at = below(item, "valueFrom", "configMapKeyRef")
        taken = pod.config_maps.get((pod.namespace, text(below(at, "name"))), {})
        value = item.get("value", taken.get(text(below(at, "key"))))
        found[text(item.get("name"))] = None if value is None else text(value)
    return found


def _ports(said: Mapping[str, Any]) -> Iterator[Port]:
    for place, item in mappings(said.get("ports")):
        if item.get("hostPort") and not text(item.get("hostIP")).startswith(LOOPBACK):
            yield Port(place=f"ports[{place}]", number=number(item.get("containerPort")) or 0)


def _mounts(pod: _Pod, said: Mapping[str, Any]) -> Iterator[Mount]:
    volumes = {text(volume.get("name")): volume for _, volume in mappings(pod.spec.get("volumes"))}
    for _, item in mappings(said.get("volumeMounts")):
        volume = volumes.get(text(item.get("name")), {})
        empty = mapping(volume.get("emptyDir"))
        fixed = any(key in volume for key in ("image", "configMap", "secret", "projected"))
        yield Mount(
            target=text(item.get("mountPath")),
            source=text(below(volume, "hostPath", "path")) or text(item.get("name")),
            read_only=item.get("readOnly") is True
            or fixed
            or below(volume, "persistentVolumeClaim", "readOnly") is True,
            memory=empty.get("medium") == "Memory",
            size_bytes=size(empty.get("sizeLimit"), decimal=True),
            image=text(below(volume, "image", "reference")),
        )


def _shm(mounts: tuple[Mount, ...], memory: int | None) -> int | None:
    """Of /dev/shm; an emptyDir without a limit may fill the memory of the container."""
    for mount in mounts:
        if mount.target == "/dev/shm" and mount.memory:  # noqa: S108 - of the container
            return mount.size_bytes if mount.size_bytes is not None else memory or 1 << 62
    return None


def _devices(limits: Mapping[str, Any]) -> int | None:
    counts = [
        number(value) or 0
        for name, value in limits.items()
        if name.startswith(_DEVICE_NAMES) and not any(word in name.rpartition("/")[2] for word in _NO_DEVICES)
    ]
    return sum(counts) or None


def _probes(said: Mapping[str, Any]) -> Iterator[Probe]:
    for role in ("startup", "liveness", "readiness"):
        if probe := mapping(said.get(f"{role}Probe")):
            delay = number(probe.get("initialDelaySeconds", 0)) or 0
            tries = (number(probe.get("failureThreshold", 3)) or 3) * (number(probe.get("periodSeconds", 10)) or 10)
            yield Probe(
                place=f"{role}Probe",
                role=role,
                path=text(below(probe, "httpGet", "path")),
                command=_words(below(probe, "exec", "command")),
                allowed_s=None if role == "readiness" else float(delay + tries),
            )


def _start_limit(probes: tuple[Probe, ...]) -> float | None:
    """Until the start-up probe gives up; without one, until the liveness probe does."""
    return next((probe.allowed_s for probe in probes if probe.allowed_s is not None), None)


def _pre_stop(said: Mapping[str, Any]) -> float:
    hook = mapping(below(said, "lifecycle", "preStop"))
    if hook.get("sleep"):
        return seconds(below(hook, "sleep", "seconds")) or 0
    found = " ".join(_words(below(hook, "exec", "command"))).split()
    for place, word in enumerate(found[:-1]):
        if word.endswith("sleep"):
            return seconds(found[place + 1].strip(";")) or 0
    return 0


def _service(document: Document, data: Mapping[str, Any], place: str, namespace: str) -> Service:
    spec = mapping(data.get("spec"))
    ports: list[tuple[str, int | str]] = []
    for number_, item in mappings(spec.get("ports")):
        target = item.get("targetPort", item.get("port"))
        ports.append((join(place, f"spec.ports[{number_}]"), target if isinstance(target, int) else text(target)))
    return Service(
        document=document,
        place=place,
        name=text(below(data, "metadata", "name")),
        namespace=namespace,
        selector={key: text(value) for key, value in mapping(spec.get("selector")).items()},
        ports=tuple(ports),
        headless=spec.get("clusterIP") == "None",
    )


def _policy(data: Mapping[str, Any], namespace: str) -> Policy:
    spec = mapping(data.get("spec"))
    labels = mapping(below(spec, "podSelector", "matchLabels"))
    kinds = sequence(spec.get("policyTypes"))
    return Policy(
        namespace=namespace,
        selector={key: text(value) for key, value in labels.items()},
        expressions=tuple(
            (text(item.get("key")), text(item.get("operator")), words(item.get("values")))
            for _, item in mappings(below(spec, "podSelector", "matchExpressions"))
        ),
        egress="Egress" in kinds or (not kinds and "egress" in spec),
    )
