"""Makes docs/models.md: recipes by family, and the plan of every variant on every device in one table.

    python -m tests.model_pages                 write it
    python -m tests.model_pages --deviations    recipes against published counts, and against the engine's registry

The whole takes a while, so that the default tests compare a sample of its rows, and a slow one all of it.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.planner.tables import tokens_text
from selfhost.recipe.present import parameters_text
from selfhost.units import GIB
from tests.model_plans import Answer, Planned, device_ids, plan_all, recipes_by_family

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from selfhost.recipe.schema import Recipe

PATH = Path(__file__).resolve().parent.parent / "docs" / "models.md"
_HEAD = """# Models

What there are recipes for, and on how many devices of which kind each variant runs, by selfhost's own plan with its
default settings. `selfhost plan MODEL --on HW` says more of one, `selfhost plan MODEL --matrix` of one model. This file
is made by `make docs`.

"""
_LEGEND = """## Every variant on every device

A cell is the plan with the fewest devices, of 1, 2, 4, 8 and 16 in servers of the usual kind (of 8, but GB200 and GB300
of 4, GB10 of 1, 910C of 16).

- `+2`: two devices hold it with the context of its row, which is the longest of its recipe. `~2`: they
  do, but not at the low bound.
- `<2 12K`: sixteen do not hold that context; two hold 12K tokens (K: 1024 tokens).
- `-`: not even sixteen. `x`: it does not run there. Rows without any other cell are left out.
- GiB: of weights as they are loaded; `?` where that is not published.
- Layout: tensor parallel over the devices of a server and pipeline parallel over servers, where none is named.

"""
_TOO_LARGE = "16 of none of them hold it"
_TITLES = {"baichuan": "Baichuan", "deepseek": "DeepSeek", "ernie": "ERNIE", "glm": "GLM", "minimax": "MiniMax"}
_TITLES |= {"internlm": "InternLM", "smollm": "SmolLM (to try selfhost with)"}


def title(family: str) -> str:
    """As people write it."""
    return _TITLES.get(family, family.capitalize())


def groups_of(rows: Sequence[Planned]) -> dict[str, list[str]]:
    """Devices by the first of those for which all answers are the same, in the order of the catalogue."""
    found: dict[tuple[Answer, ...], list[str]] = {}
    for device in device_ids():
        found.setdefault(tuple(row.answers[device] for row in rows), []).append(device)
    return {names[0]: names for names in found.values()}


def panes(groups: Mapping[str, Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Columns that stand in one table: more would not be read."""
    kinds: dict[str, list[str]] = {"GPUs of servers": [], "GPUs of workstations": [], "Ascend": []}
    for first in groups:
        if re.match(r"\d", first):
            kinds["Ascend"].append(first)
        elif first.startswith(("RTX", "GB10")):
            kinds["GPUs of workstations"].append(first)
        else:
            kinds["GPUs of servers"].append(first)
    return [(name, columns) for name, columns in kinds.items() if columns]


def counts(families: Mapping[str, Sequence[Recipe]]) -> str:
    """Recipes and variants by family, and variants by format."""
    lines = ["| family | recipes | variants |", "|---|---:|---:|"]
    for family, recipes in families.items():
        lines.append(f"| {title(family)} | {len(recipes)} | {sum(len(recipe.variants) for recipe in recipes)} |")
    every = [recipe for recipes in families.values() for recipe in recipes]
    lines.append(f"| **all** | **{len(every)}** | **{sum(len(recipe.variants) for recipe in every)}** |")
    formats = Counter(variant.scheme for recipe in every for variant in recipe.variants)
    told = ", ".join(f"{name} {count}" for name, count in sorted(formats.items(), key=lambda x: (-x[1], x[0])))
    return "\n".join([*lines, "", f"Variants by format: {told}.", ""])


def row_text(row: Planned, columns: Sequence[str]) -> str:
    """A line of a table."""
    cells = " | ".join(row.answers[device].text for device in columns)
    return f"| {row.recipe.name} | {row.variant.name} | {_gib(row)} | {tokens_text(row.context)} | {cells} |"


def _gib(row: Planned) -> str:
    size = row.variant.bytes_loaded or row.variant.bytes_on_disk
    return "?" if size is None else f"{size / GIB:,.1f}"


def page() -> str:
    """The whole file."""
    families, rows = recipes_by_family(), plan_all()
    groups = groups_of(rows)
    parts = [_HEAD, counts(families), "\n", _LEGEND, _confidence(rows), "\n", *_alike(groups)]
    for family, recipes in families.items():
        names = {recipe.name for recipe in recipes}
        mine = [row for row in rows if row.recipe.name in names]
        parts.append(f"\n## {title(family)}\n\n")
        parts += [f"{recipe.title} ({recipe.name}): {parameters_text(recipe)} parameters  \n" for recipe in recipes]
        for kind, columns in panes(groups):
            running = [row for row in mine if any(row.answers[device].runs for device in columns)]
            if not running:
                continue
            parts.append(f"\n### {title(family)}: {kind}\n\n")
            parts.append(f"| recipe | variant | GiB | context | {' | '.join(columns)} |\n")
            parts.append(f"|---|---|---:|---:|{'---|' * len(columns)}\n")
            parts += [row_text(row, columns) + "\n" for row in running]
        if refused := [row for row in mine if not any(answer.runs for answer in row.answers.values())]:
            parts.append("\nOn none of these devices:\n\n")
            parts += [f"- {row.recipe.name}, {row.variant.name}: {row.reason or _TOO_LARGE}\n" for row in refused]
    return "".join(parts)


def _confidence(rows: Sequence[Planned]) -> str:
    told = Counter(answer.confidence for row in rows for answer in row.answers.values() if answer.confidence)
    which = ", ".join(f"{count:,} {name}" for name, count in told.most_common())
    return (
        f"Confidence of the {told.total():,} plans that are shown: {which}. *Derived* is from the engine's source\n"
        "and the data sheet alone; how far plans were from real starts elsewhere is in [measured.md](measured.md).\n"
    )


def _alike(groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield "Devices for which every answer is the same share a column:\n\n"
    for first, names in groups.items():
        if len(names) > 1:
            yield f"- {first}: also {', '.join(names[1:])}\n"


def read(text: str) -> tuple[dict[tuple[str, str], dict[str, str]], dict[tuple[str, str], tuple[str, str]]]:
    """What a page says: the cell of each (recipe, variant) and device, and the two columns before the devices.

    A variant that runs nowhere has no cells; devices of a table that leaves it out have none of it.
    """
    alike = {
        first: [first, *more.split(", ")] for first, more in re.findall(r"^- (\S+): also (.+)$", text, re.MULTILINE)
    }
    cells: dict[tuple[str, str], dict[str, str]] = {}
    before: dict[tuple[str, str], tuple[str, str]] = {}
    columns: list[str] = []
    for line in (line for line in text.splitlines() if not line.startswith("|---")):
        parts = [part.strip() for part in line.strip().strip("|").split("|")] if line.startswith("| ") else []
        if parts[:1] == ["recipe"]:
            columns = parts[4:]
        elif columns and len(parts) == len(columns) + 4:
            name, variant, size, context, *rest = parts
            before[name, variant] = size, context
            row = cells.setdefault((name, variant), {})
            for first, cell in zip(columns, rest, strict=True):
                row.update(dict.fromkeys(alike.get(first, [first]), cell))
        elif not parts:
            columns = []
            if found := re.match(r"- (\S+), (\S+): ", line):
                cells.setdefault((found[1], found[2]), {})
    return cells, before


if __name__ == "__main__":
    if "--deviations" in sys.argv[1:]:
        from tests import model_deviations

        sys.exit(model_deviations.main())
    PATH.write_text(page())
