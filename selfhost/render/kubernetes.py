"""What a cluster is like: what Kubernetes files depend on and no plan says."""

from __future__ import annotations

from enum import StrEnum

from selfhost.records import dataclass

OLDEST_MINOR = 29
NATIVE_SLEEP_MINOR = 30
"""`preStop.sleep` is there without a feature gate from 1.30 on (KEP-3960)."""
IMAGE_VOLUME_MINOR = 31
IMAGE_VOLUME_RESTRICTED_MINOR = 33
"""The `restricted` Pod Security Standard lets image volumes through from 1.33 on (kubernetes/kubernetes#130394)."""
IMAGE_VOLUME_DEFAULT_MINOR = 35
"""Before, a cluster has image volumes only with the feature gate `ImageVolume` (KEP-4639: 1.31 alpha, 1.33 beta)."""


class Storage(StrEnum):
    """Where pods find the store."""

    CLAIM = "claim"
    """A PersistentVolumeClaim that all pods may read."""
    HOST = "host"
    """A directory of every machine, `--store`; closed by the `baseline` Pod Security Standard."""
    IMAGE = "image"
    """A container image with the model's files, mounted as an image volume; there is no store then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kubernetes:
    """One cluster."""

    minor: int = NATIVE_SLEEP_MINOR
    """Of its version, 1.x: the oldest that files must work on."""
    namespace: str = "selfhost"
    storage: Storage = Storage.CLAIM
    claim: str = ""
    """An existing PersistentVolumeClaim with the store; empty: one is rendered."""
    image: str = ""
    """`NAME@sha256:...` of the model's image; the digest is all that says which model it is."""
    any_user: bool = False
    """No uid and no group is written: the cluster gives them, as OpenShift's `restricted-v2` does."""
    resource: str = ""
    """The accelerators' resource name; empty: that of the vendor's device plugin. Sites differ on Ascend:
    `huawei.com/Ascend910`, `huawei.com/npu`, `huawei.com/Ascend910B3` (HAMi)."""
    interface: str = "eth0"
    """Network interface through which pods reach each other."""
