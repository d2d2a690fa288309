"""A variant without files: the engine quantizes those of another while it loads them (`nf4`, vllm-bnb-plugin)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.app.quantize import user_recipe
from selfhost.app.quantize.source import check_source, variant_for
from selfhost.errors import UsageError
from selfhost.messages import text
from selfhost.quantize import schemes
from selfhost.recipe import load
from selfhost.recipe.schema import SourceKind
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.quantize.schemes import Scheme

SCHEMA_VERSION = 1
SCHEME = "nf4"
"""The only one that the plugin makes while loading."""
_SUFFIX = "-in-flight"


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """A variant that the recipe knows now."""

    recipe: str
    variant: str
    files_of: str
    path: Path
    """The recipe's file."""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.recipe,
            "variant": self.variant,
            "from": self.files_of,
            "recipe": str(self.path),
        }


def register(  # noqa: PLR0913 - what the command line takes
    model: str,
    scheme: Scheme,
    home: Home,
    *,
    source: str | None = None,
    name: str | None = None,
    recipe_paths: Sequence[Path] = (),
) -> Registered:
    """Add the variant to the user's recipe; nothing is downloaded or run.

    Raises UsageError for another scheme, a directory or a name that is taken, NoError for a source that is quantized.
    """
    if scheme.name != SCHEME:
        raise UsageError("quantize.not_in_flight", scheme=scheme.name)
    recipe = load.load_recipe(model, home, recipe_paths)
    path = load.find_recipes(home, recipe_paths)[recipe.name]
    user_recipe.check_place(recipe.name, path, home)
    of = recipe.variant(source or variant_for(recipe, scheme))
    check_source(recipe, of, scheme)
    variant = name or f"{scheme.name}{_SUFFIX}"
    user_recipe.check_name(recipe, variant)
    made = {
        "name": variant,
        "scheme": scheme.recipe_scheme,
        "summary": text("quantize.in_flight_summary", source=of.name),
        "bytes_on_disk": of.bytes_on_disk,
        "files_of": of.name,
        "config": of.config,
        "quantization_config": schemes.quantization_config(scheme, ("lm_head",)),
        "source": [{"kind": SourceKind.QUANTIZED.value, "id": f"{recipe.name}/{of.name}"}],
    }
    return Registered(
        recipe=recipe.name, variant=variant, files_of=of.name, path=user_recipe.put(recipe.name, path, made, home)
    )
