"""What tests of `pull` share: a repository as hubs have them, and somebody who listens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from typing import TYPE_CHECKING

from selfhost.app import pull, wanted
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from selfhost.weights.move.types import MoveOptions
from tests.tiny_models import config_of
from tests.toml_text import as_toml

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = MoveOptions(
    connections=4, range_bytes=256 << 10, stall_s=2.0, connect_s=2.0, attempts=2, backoff_s=0.01, backoff_max_s=0.05
)
SHARD = "model-00002-of-00003.safetensors"
SMALL_BYTES = 20_000
"""More than all files beside the weights have."""


def safetensors(name: str, n_bytes: int, seed: int) -> bytes:
    """A whole file with one tensor of so many bytes."""
    header = json.dumps({name: {"dtype": "U8", "shape": [n_bytes], "data_offsets": [0, n_bytes]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(n_bytes)


def write_repository(directory: Path, shard_bytes: int = 700_000, shards: int = 3) -> dict[str, int]:
    """A model in shards, with files beside them that serving does not need; sizes of those it does."""
    directory.mkdir(parents=True)
    weight_map = {}
    for number in range(1, shards + 1):
        name = f"model-{number:05}-of-{shards:05}.safetensors"
        (directory / name).write_bytes(safetensors(f"tensor.{number}", shard_bytes + number, number))
        weight_map[f"tensor.{number}"] = name
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "config.json").write_text(json.dumps(config_of("qwen2")))
    (directory / "generation_config.json").write_text("{}")
    (directory / "tokenizer.json").write_text('{"version": "1.0"}')
    (directory / "tokenizer_config.json").write_text("{}")
    (directory / "LICENSE").write_text("terms")
    needed = {path.name: path.stat().st_size for path in directory.iterdir()}
    (directory / "README.md").write_text("# not needed")
    (directory / "pytorch_model.bin").write_bytes(b"\x80pickle")
    (directory / "model.gguf").write_bytes(b"GGUF")
    (directory / "original").mkdir()
    (directory / "original" / "consolidated.00.pth").write_bytes(b"\x80")
    return needed


class Silent:
    """Somebody who listens and is never asked; `said` is what there was to hear."""

    def __init__(self, answer: bool | None = None) -> None:  # noqa: FBT001
        self.said: list[str] = []
        self.warned: list[str] = []
        self.answer = answer

    def note(self, line: str) -> None:
        self.said.append(line)

    def warn(self, line: str) -> None:
        self.warned.append(line)

    def agrees(self, question: str) -> bool | None:
        self.said.append(question)
        return self.answer

    @contextlib.contextmanager
    def moving(self, sizes, have_bytes):
        yield Recorder(self.said)


class Recorder:
    """A progress that adds up."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def started(self, path, size, have):
        pass

    def moved(self, path, n_bytes):
        pass

    def lost(self, path, n_bytes):
        pass

    def note(self, path, text):
        self._said.append(f"{path}: {text}")

    def done(self, path):
        pass


def bring(text="org/tiny", talk=None, variant=None, **request):
    """`pull` without the command line."""
    home = find_home()
    model = wanted.find(text, home, variant=variant)
    return pull.pull(model, pull.PullRequest(**request), home, OPTIONS, talk or Silent())


def recipe_document(name: str = "tiny", **changes) -> dict:
    """A recipe of `org/<name>` at a hub, with one variant."""
    variant = {"name": "bf16", "scheme": "bf16", "source": [{"kind": "huggingface", "id": f"org/{name}"}]}
    document = {"schema_version": 1, "name": name, "title": name, "family": "Tiny", "summary": "for tests"}
    document |= {"hub_id": f"org/{name}", "context": 4096, "parameters": 1_000_000, "config": config_of("qwen2")}
    document |= {"licence": {"id": "Apache-2.0", "url": "https://example.org/terms"}, "variant": [variant]}
    return document | changes


def write_recipe(home: Path, name: str = "tiny", **changes) -> None:
    (home / "recipes").mkdir(parents=True, exist_ok=True)
    (home / "recipes" / f"{name}.toml").write_text(as_toml(recipe_document(name, **changes)))


def weights_sent(hub) -> int:
    """Bytes of weights that a server sent."""
    return sum(request.sent_bytes for request in hub.requests if (request.file or "").endswith(".safetensors"))


def flip(path: Path, offset: int) -> None:
    """Damage one byte of a file."""
    with path.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 1]))


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_same(made: Path, source: Path, needed) -> None:
    """The model is these files of the source, byte for byte, and the lock."""
    there = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert there == {*needed, "selfhost-model.json"}
    for name in needed:
        assert (made / name).read_bytes() == (source / name).read_bytes(), name


def assert_blobs_are_whole(home: Path) -> None:
    """What lies under a digest has that digest."""
    blobs = Blobs(home / "blobs")
    for sha256 in blobs.digests():
        assert sha256_of(blobs.path(sha256)) == sha256
