"""Damaged recipes: whatever is in the file, it is read and linted, or refused with a message; never an exception."""

from __future__ import annotations

import copy
import datetime as dt
import random
import tomllib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from selfhost.app.lint import pinned_engine
from selfhost.app.model import from_recipe
from selfhost.errors import SelfhostError
from selfhost.home import find_home
from selfhost.recipe import present
from selfhost.recipe.lint import lint
from selfhost.recipe.load import builtin_directory, parse_recipe
from tests.conftest import LONG
from tests.toml_text import as_toml

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.messages import Message

COUNT = 6_000 if LONG else 1_000
SEED = 20_261_122
BASES = [
    "deepseek/deepseek-v3",
    "deepseek/deepseek-v3.2",
    "glm/glm-4.5-air",
    "glm/glm-4-9b",
    "qwen/qwen2.5-72b",
    "smollm/smollm2-135m",
]
STRANGE = [
    0,
    -1,
    1,
    3,
    (1 << 40) - 1,
    (1 << 63) - 1,
    1 << 63,
    -(1 << 80),
    16**5000,
    0.0,
    -0.5,
    1e308,
    float("inf"),
    float("nan"),
    True,
    False,
    "",
    " ",
    "0",
    "1e9",
    "bf16",
    "../../etc/passwd",
    "{}{0}%s{path}",
    "\u202e\x07\n",
    "x" * 200_000,
    "-" * 50_000,
    [],
    [[]],
    ["LlamaForCausalLM", 1],
    [0, 0],
    {},
    {"a": {"b": {"c": {}}}},
    {"quant_method": "awq"},
    {"quant_method": "compressed-tensors", "config_groups": {}},
    {"quant_method": "fp8", "weight_block_size": [0, -1]},
    {"type": "yarn", "factor": "four"},
    dt.date(2026, 11, 22),
    dt.datetime(2026, 11, 22, tzinfo=dt.UTC),
    dt.time(1, 2),
]
FLAGS = [
    "--",
    "-",
    "-O",
    "-O9",
    "--hf-overrides",
    '{"rope_parameters":{"factor":"x"}}',
    "--port",
    "--model-impl",
    "=",
    "[1",
]


def places(value, way=()):
    """The way to every key and item of a document."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in items:
        yield (*way, key)
        yield from places(inner, (*way, key))


def damage_value(rng: random.Random, document: dict) -> None:
    """One mistake at one place: dropped, renamed, doubled, of another type, absurd, or moved."""
    way = rng.choice(list(places(document)))
    holder, key = inside(document, way[:-1]), way[-1]
    kind = rng.randrange(8)
    if kind == 0:
        holder.pop(key)
    elif kind == 1:
        rename_or_repeat(rng, holder, key)
    elif kind == 2:
        holder[key] = copy.deepcopy(inside(document, rng.choice(list(places(document)))))
    elif kind == 3:
        holder[key] = nearly(rng, holder[key])
    elif kind == 4:
        serving = document.setdefault("serving", {})
        if isinstance(serving, dict):
            serving["engine_args"] = rng.choices(FLAGS, k=rng.randrange(1, 5))
    elif kind == 5:
        holder[key] = [copy.deepcopy(holder[key])] * rng.choice([1, 2, 50])
    else:
        holder[key] = copy.deepcopy(rng.choice(STRANGE))


def inside(document: dict, way: tuple):
    for step in way:
        document = document[step]
    return document


def rename_or_repeat(rng: random.Random, holder: dict | list, key: str | int) -> None:
    if isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[rng.choice([key[:-1], key.upper(), key + "s", key[::-1], "", "a b.c", "x" * 5000])] = holder.pop(key)


def nearly(rng: random.Random, value):
    """Of the same kind, but not what it was."""
    if isinstance(value, str):
        cut = rng.randrange(len(value) + 1)
        return rng.choice([value[:cut], value + value, value[cut:] + "\x00" + value[:cut], value.swapcase()])
    if isinstance(value, int) and abs(value) > 1 << 64:
        return -value  # damaged before, and neither text nor a fraction
    if isinstance(value, (int, float)):
        return rng.choice([value * 1000, -value, value + 1, str(value), value / 7])
    return None if isinstance(value, dt.date) else type(value)()


def damage_bytes(rng: random.Random, data: bytes) -> bytes:
    """What an editor, a bad disk or a joker leaves behind."""
    at, lines = rng.randrange(len(data)), data.splitlines(keepends=True)
    return rng.choice(
        [
            data[:at],
            data[:at] + rng.randbytes(8) + data[at:],
            b"".join(rng.sample(lines, len(lines))),
            data + rng.choice(lines),
            data + b"x = " + b"[" * 100_000,
            data + b"\n[" + b".".join([b"a"] * 3_000) + b"]\nb = 1\n",
            data.replace(b"\n", rng.choice([b"\r", b"\r\n", b"\n\n", b"\x00\n"])),
        ]
    )


def useful(message: Message) -> str:
    """The id of a message that can be shown."""
    assert message.what
    assert len(message.what + message.why + message.hint) < 100_000
    return message.id


def through_all(data: bytes, path: Path) -> str:
    """Read, lint, show, and make what the planner takes; how far it came."""
    try:
        recipe = parse_recipe(data, path)
    except SelfhostError as error:
        return useful(error.message)
    for finding in lint(recipe, pinned_engine(), folder=path.parent.name):
        assert finding.where
        useful(finding.message)
    assert list(present.as_lines(recipe, str(path)))
    assert present.as_row(recipe, [])
    try:
        model = from_recipe(recipe, path, None, find_home())
    except SelfhostError as error:
        return useful(error.message)
    assert [to_plan.variant for to_plan in model.to_plan().variants] == [one.name for one in recipe.variants]
    return "ready to plan"


@pytest.mark.slow
def test_damaged_recipes_end_in_a_message_or_a_plan():
    rng = random.Random(SEED)
    paths = [builtin_directory() / f"{name}.toml" for name in BASES]
    texts = [path.read_bytes() for path in paths]
    documents = [tomllib.loads(text.decode()) for text in texts]
    ends: Counter[str] = Counter()
    for number in range(COUNT):
        which = rng.randrange(len(paths))
        if number % 4 == 3:
            data = damage_bytes(rng, texts[which])
        else:
            document = copy.deepcopy(documents[which])
            for _ in range(rng.choice([1, 1, 1, 2, 5])):
                if list(places(document)):
                    damage_value(rng, document)
            data = as_toml(document).encode("utf-8", "surrogatepass")
        ends[through_all(data, paths[which])] += 1
    assert sum(ends.values()) == COUNT
    # All ends are reached, so that the damage is neither too mild nor too coarse.
    assert ends["ready to plan"] > COUNT // 10
    assert ends["recipe.invalid"] > COUNT // 5
    assert ends["recipe.not_toml"] > COUNT // 20
    assert ends["arch.bad_config"] > 0
    assert ends["arch.unsupported"] > 0


def test_a_recipe_written_again_is_the_same():
    for name in BASES:
        document = tomllib.loads((builtin_directory() / f"{name}.toml").read_text())
        assert tomllib.loads(as_toml(document)) == document
