"""`selfhost engine install ascend`: why there is no lock, and what suits this machine instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.app import compat, detect
from selfhost.engines import compat_data, compat_wheels, known
from selfhost.engines.compat import release_of
from selfhost.engines.compat_types import Judgement, State
from selfhost.engines.install import this_machine
from selfhost.errors import MissingError
from selfhost.messages import text

if TYPE_CHECKING:
    from selfhost.app.compat import Chip
    from selfhost.engines.needs import Machine
    from selfhost.hardware.system import System
    from selfhost.home import Home

_HOST = ("chip", "driver_complete", "driver", "firmware")


def refuse(home: Home, *, driver_check: bool, system: System | None = None) -> None:
    """Always raises MissingError: what does not match on this host first, else the image or the wheels to take."""
    snapshot = detect.detect(home)
    chip = compat.chip_here(snapshot)
    if driver_check:
        check_host(compat.judge_here(chip, None, host=snapshot.host, system=system))
    raise advice(chip, this_machine())


def check_host(judgement: Judgement) -> None:
    """Raises MissingError when what an image cannot bring is wrong: chip, driver, firmware."""
    host = Judgement(release=judgement.release, items=tuple(one for one in judgement.items if one.key in _HOST))
    if host.wrong:
        raise MissingError(
            "compat.host",
            engine=compat.ENGINE,
            version=host.release,
            table="\n".join(host.rows()),
            remedy=host.remedy,
            details=host.as_dict(),
        )


def advice(chip: Chip, machine: Machine) -> MissingError:
    """What to use here: an image by chip family; or wheels, on a machine that they suit."""
    version = known.load(compat.ENGINE).ref.version
    release = release_of(version)
    items = compat_wheels.items(chip.family, machine)
    wheels = Judgement(release=version, items=items)
    suit = all(item.state is State.OK for item in items)
    image = compat_data.image(version, chip.family)
    common = {
        "engine": compat.ENGINE,
        "version": version,
        "triton": release.triton_ascend if release else "?",
        "arctic": compat_data.ARCTIC_INFERENCE,
        "torch": release.torch if release else "?",
        "table": "\n".join(wheels.rows()),
        "image": image or text("compat.image_of_families", images=_images(version)),
        "details": {**wheels.as_dict(), "image": image, "wheels": suit},
    }
    if not suit:
        return MissingError("compat.by_image", **common)
    python = ".".join(map(str, machine.python))
    return MissingError("compat.by_wheels", python=f"python{python}", **common)


def _images(version: str) -> str:
    found = ((family, compat_data.image(version, family)) for family in compat_data.IMAGE_SUFFIXES)
    return ", ".join(f"{family} {image}" for family, image in found)
