"""START-HERE.txt: what somebody reads who holds the medium and has nothing but a shell."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from selfhost.records import dataclass
from selfhost.units import format_bytes


class OwnWheel(NamedTuple):
    """A wheel that selfhost itself is installed from."""

    file_name: str
    sha256: str
    volume: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What the text is made of."""

    label: str
    id: str
    created: str
    tool: str
    volume: int
    volumes: tuple[str, ...]
    """Names of all volumes, in order."""
    models: tuple[str, ...]
    """As `--model` takes them."""
    size: int
    """Bytes of all volumes together."""
    signed: bool
    engine: str = ""
    """After `engine install`; empty without one."""
    serves: bool = True
    """False: that engine makes checkpoints, and another one serves them."""
    python: str = "3.11"
    """Version of Python that the wheels are for."""
    machine: str = ""
    """Kind of machine that they are for: `x86_64`."""
    glibc: str = ""
    """Lowest that the wheels of selfhost itself install on; empty: they ask for none."""
    wheels: tuple[OwnWheel, ...] = ()
    """Of selfhost itself."""
    images: tuple[str, ...] = ()
    """Names of container images."""


def text(start: Start) -> str:
    """The whole text: plain ASCII where names are, commands that can be pasted, line by line."""
    parts = [_what(start), _check(start), *([_install(start)] if start.wheels else []), _use(start)]
    return "\n".join(parts)


def _what(start: Start) -> str:
    lines = [
        f"{start.label}: volume {start.volume} of {len(start.volumes)}",
        "",
        f"{_contents(start)}, with all that is needed, for a machine without a network.",
        "",
        f"  bundle   {start.id}",
        f"  made     {start.created} by {start.tool}",
        f"  size     {format_bytes(start.size)} on {len(start.volumes)} volume(s)",
        *(f"  volume   {name}" for name in start.volumes if len(start.volumes) > 1),
        *(f"  model    {name}" for name in start.models),
        *([f"  engine   {start.engine}"] if start.engine else []),
        *(f"  image    {name}" for name in start.images),
        "",
    ]
    return "\n".join(lines)


def _contents(start: Start) -> str:
    kinds = [("models", start.models), ("an engine", start.engine), ("container images", start.images)]
    return ", ".join(kind for kind, there in kinds if there).capitalize() or "Contents"


def _check(start: Start) -> str:
    signature = [
        "   # who made it; allowed_signers is a file you have from elsewhere, not from this medium:",
        "   ssh-keygen -Y verify -f allowed_signers -I SIGNER -n selfhost-bundle -s SHA256SUMS.sig < SHA256SUMS",
    ]
    unsigned = ["   # this bundle is not signed: compare the sha256 of SHA256SUMS with one you got another way"]
    lines = [
        "1. Check it. Each of these alone is enough; none changes the medium.",
        "",
        "   cd " + shlex.quote(start.volumes[start.volume - 1]),
        *(signature if start.signed else unsigned),
        "   sha256sum --quiet -c SHA256SUMS",
        "",
        "   The same without sha256sum: python3 verify.py",
        "   With selfhost, who made it included: `selfhost bundle verify`, as below.",
        "",
    ]
    return "\n".join(lines)


def _install(start: Start) -> str:
    """How selfhost comes from blobs, which have no names that pip could go by."""
    lines = [
        f"2. Install selfhost, where it is not yet. It needs Python {start.python}{_system(start)} and nothing else.",
        "",
        "   mkdir -p ~/selfhost-wheels",
    ]
    for number in sorted({wheel.volume for wheel in start.wheels}):
        if len(start.volumes) > 1:
            lines.append(f"   # in {start.volumes[number - 1]}:")
        lines += [
            f"   cp blobs/sha256/{wheel.sha256} ~/selfhost-wheels/{shlex.quote(wheel.file_name)}"
            for wheel in sorted(start.wheels)
            if wheel.volume == number
        ]
    lines += [
        f"   python{start.python} -m venv ~/selfhost",
        "   ~/selfhost/bin/python -m pip install --no-index --find-links ~/selfhost-wheels selfhost-llm",
        '   export PATH="$HOME/selfhost/bin:$PATH"',
        "",
    ]
    return "\n".join(lines)


def _system(start: Start) -> str:
    """The system that the wheels are for, as far as they ask."""
    if not start.glibc:
        return ""
    return f", {start.machine} and glibc {start.glibc} or newer"


def _use(start: Start) -> str:
    several = len(start.volumes) > 1
    lines = [
        f"{3 if start.wheels else 2}. Check it, bring it in, then serve. The import can be interrupted and run again.",
        "",
        f"   selfhost bundle verify .{' --partial' if several else ''}",
        f"   selfhost bundle import .{'   # it says which DIR has the wheels' if start.engine else ''}",
        *(["   # the same for each volume, in any order; it says which are still to come"] if several else []),
        *(["   # the images, too: --load docker, podman or containerd"] if start.images else []),
        *([f"   selfhost engine install {start.engine} --wheelhouse DIR"] if start.engine else []),
        *(["   selfhost quantize --help"] if not start.serves else []),
        *(f"   selfhost serve {shlex.quote(name)} --offline" for name in start.models[:1] if start.serves),
        "",
    ]
    return "\n".join(lines)
