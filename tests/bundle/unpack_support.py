"""A bundle of a small model on a few volumes, made as `bundle create` makes it, and a copy of it to be spoilt."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from typing import TYPE_CHECKING

from selfhost.app import bundle_gate, bundle_import
from selfhost.bundle import layout, modelpack, pack, read
from selfhost.bundle.layout import BlobInfo, ModelRef
from selfhost.bundle.write import Content, LinkMode
from selfhost.cli.main import main
from selfhost.home import Home
from selfhost.weights.blobs import Blobs
from selfhost.weights.lock import LockedFile, ModelLock, Origin
from tests.pull_support import write_repository

if TYPE_CHECKING:
    from pathlib import Path

NAME, VARIANT = "tiny-test", "bf16"
SERVED = (".safetensors", ".json", "LICENSE")


def content(data: bytes) -> Content:
    return Content(sha256=modelpack.sha256_of(data), size=len(data), data=data)


def model_parts(directory: Path, home: Home, name: str = NAME):
    """Artifacts and contents of a model in a directory."""
    blobs = Blobs(home.blobs)
    locked = []
    for path in sorted(directory.iterdir()):
        if path.name.endswith(SERVED):
            sha256, size = blobs.copy_in(path)
            locked.append(LockedFile(path=path.name, size=size, sha256=sha256))
    origin = Origin(kind="huggingface", id="org/tiny-test", revision="a" * 40)
    lock = ModelLock(recipe=name, variant=VARIANT, source=origin, files=tuple(locked))
    built = modelpack.build_model(lock, ["Apache-2.0"])
    body = content(json.dumps(lock.as_dict()).encode())
    extra = modelpack.build(
        modelpack.LOCK,
        f"{built.entry.name}/lock",
        {"recipe": name},
        [modelpack.Layer(path="lock.json", sha256=body.sha256, size=body.size)],
        built.entry,
    )
    contents = [Content(sha256=f.sha256, size=f.size, source=blobs.path(f.sha256)) for f in locked]
    return [built, extra], contents, [body], lock


def make_bundle(  # every knob that a test turns
    where: Path,
    *,
    volumes: int = 1,
    serial: int = 5,
    label: str = "crossing",
    have=(),
    base=(),
    sign=None,
    max_file_bytes=None,
    shard_bytes: int = 30_000,
    more=(),
    name: str = NAME,
) -> list[Path]:
    """Directories of the volumes. `more`: further (artifact, contents, metadata)."""
    where.mkdir(parents=True, exist_ok=True)
    source = where / "source"
    write_repository(source, shard_bytes=shard_bytes)
    artifacts, payload, metadata, lock = model_parts(source, Home(where / "sender"), name)
    refs = (ModelRef(name=name, variant=VARIANT, manifest=artifacts[0].entry.sha256),)
    for built, contents, small in more:
        artifacts.append(built)
        payload += contents
        metadata += small
    metadata += [content(data) for built in artifacts for data in (built.manifest, built.config)]
    kept = {one.sha256: one for one in payload if one.sha256 not in have}
    each = -(-sum(one.size for one in kept.values()) // volumes) + shard_bytes // 2
    packed = layout.pack_volumes([BlobInfo(sha256=o.sha256, size=o.size) for o in kept.values()], [each] * volumes)
    plan = pack.BundlePlan(
        label=label,
        serial=serial,
        tool="selfhost test",
        models=refs,
        base=tuple(base),
        have=tuple(sorted(set(have) & {one.sha256 for one in payload})),
        index=modelpack.build_index(built.entry for built in artifacts),
        volumes=tuple(
            pack.VolumePlan(
                path=where / "media" / layout.volume_name(label, number, volumes),
                contents=(*(kept[b.sha256] for b in blobs), *metadata),
                max_file_bytes=max_file_bytes,
            )
            for number, blobs in enumerate(packed, 1)
        ),
        link=LinkMode.COPY,
    )
    texts = {layout.START_NAME: b"read me\n"}
    pack.create(plan, pack.Finishing(texts=lambda _info: texts, sign=sign))
    assert lock.files
    return [volume.path for volume in plan.volumes]


class Talk:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)

    warn = note

    def progress(self, done: int, total: int) -> None:
        pass


def import_bundle(paths, home: Home, **options):
    gate = bundle_gate.Gate(home, bundle_gate.GateOptions(**options), lambda _line: None)
    return bundle_import.run(read.open_bundle(paths, gate.trusted), gate, home, Talk())


def run(*argv: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in argv])
        except SystemExit as done:
            code = int(done.code or 0)
    return code, out.getvalue(), err.getvalue()


def snapshot(*directories: Path) -> dict[str, object]:
    """Everything that could have been changed: names, kinds, modes, times of writing, bytes, links."""
    found: dict[str, object] = {}
    for directory in directories:
        for path in directory.rglob("*"):
            info = path.lstat()
            data: object = path.readlink() if path.is_symlink() else None
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
            found[str(path)] = (info.st_mode, info.st_mtime_ns, data)
    return found


def copied(volumes: list[Path], where: Path) -> list[Path]:
    """Volumes of one's own."""
    return [shutil.copytree(path, where / path.name) for path in volumes]


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != "selfhost-model.json"
    }


def reseal(volume: Path) -> None:
    """Write a SHA256SUMS that fits what lies there now: what somebody who made the volume could do."""
    lines = []
    for path in sorted(volume.rglob("*")):
        name = str(path.relative_to(volume))
        if path.is_file() and not path.is_symlink() and name not in layout.UNSUMMED:
            lines.append(f"{modelpack.sha256_of(path.read_bytes())}  {name}\n")
    (volume / layout.SUMS_NAME).write_text("".join(lines))
