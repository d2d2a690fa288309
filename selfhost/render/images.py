"""The images that a plan's containers name, for `selfhost bundle create --image`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.render.rendered import RenderedFile, header

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment


_HOW = """\
# Into a bundle: `selfhost bundle create --image NAME ...`; one of this machine (`localhost/`) first into a
# directory, `podman push NAME oci:DIR`, and then `--image oci:DIR`.
"""


def images(deployment: Deployment) -> list[RenderedFile]:
    """`images.txt`: one name a line, all of them in the files of the other targets and no others."""
    names = "".join(f"{image.reference}\n" for image in deployment.images)
    return [RenderedFile(path="images.txt", text=header(deployment) + _HOW + names)]
