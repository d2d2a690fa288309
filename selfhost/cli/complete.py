"""What the shell offers while a command is typed: names from disk and from the catalogue, nothing from a network.

Each gets the word as far as it is typed. A completion that fails would print into the command line: there is none.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer  # noqa: TC002 - Typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIRST_TAB = '\n[[ $zsh_eval_context[-1] == loadautofunc ]] && _selfhost_completion "$@"\n'
_COUNTS = re.compile(r"(?:\d+x){0,2}", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.,:+@/-]+")
"""Letters of any script, digits and what no shell reads as anything else."""


def models(incomplete: str) -> list[str]:
    """Recipes, by their file names; directories once the word looks like a path."""
    return _directories(incomplete) if incomplete.startswith((".", "/", "~")) else recipes(incomplete)


def directories(incomplete: str) -> list[str]:
    """Directories; of repositories nothing is known without a network."""
    return _directories(incomplete)


def recipes(incomplete: str) -> list[str]:
    """Recipes, by their file names."""
    from selfhost.errors import SelfhostError
    from selfhost.home import find_home
    from selfhost.recipe.load import find_recipes

    try:
        names = find_recipes(find_home())
    except (SelfhostError, OSError):
        return []
    return [name for name in _plain(names) if name.startswith(incomplete.lower())]


def stored_models(incomplete: str) -> list[str]:
    """Models of the store: a recipe's name, or `name/variant`; directories once the word looks like a path."""
    from selfhost.app import stored
    from selfhost.errors import SelfhostError
    from selfhost.home import find_home

    if incomplete.startswith((".", "/", "~")):
        return _directories(incomplete)
    try:
        names = stored.completions(find_home())
    except (SelfhostError, OSError):
        return []
    return [name for name in _plain(names) if name.lower().startswith(incomplete.lower())]


def mend_zsh() -> None:
    """Have zsh complete at the first Tab: the file that Typer installs only says then how, and completes nothing.

    A file on `fpath` is run when its function is called first (zshmisc(1), Autoloading Functions).
    """
    path = Path.home() / ".zfunc" / "_selfhost"
    try:
        script = path.read_text()
        if "_selfhost_completion() {" in script and _FIRST_TAB not in script:
            path.write_text(script.rstrip() + _FIRST_TAB)
    except OSError:
        return


def _plain(names: Iterable[str]) -> list[str]:
    """Those that a shell takes as they are.

    bash puts a word into the line as it comes, and what zsh gets is evaluated: the name of a directory on a medium from
    elsewhere would be run when Tab is pressed. Typer escapes no backslash, and nothing at all for bash.
    """
    return [name for name in names if _PLAIN.fullmatch(name)]


def _directories(incomplete: str) -> list[str]:
    folder, _, start = incomplete.rpartition("/")
    try:
        path = Path(folder or ("/" if incomplete.startswith("/") else ".")).expanduser()
        found = sorted(entry.name for entry in path.iterdir() if entry.name.startswith(start) and entry.is_dir())
    except (OSError, RuntimeError, ValueError):
        return []
    found = _plain(found)
    return [f"{folder}/{name}" if "/" in incomplete else name for name in found]


def restart_policies(incomplete: str) -> list[str]:
    """What `serve --restart` takes."""
    return [word for word in ("never", "on-failure", "on-failure:3") if word.startswith(incomplete)]


def targets(incomplete: str) -> list[str]:
    """What `render` writes files for."""
    from selfhost.render.targets import TARGETS

    return [name for name in TARGETS if name.startswith(incomplete)]


def hardware(incomplete: str) -> list[str]:
    """Devices of the catalogue after the numbers that are typed: `8x`, `2x8xH2`."""
    from selfhost.hardware import catalog

    found = _COUNTS.match(incomplete)
    start = incomplete[found.end() :] if found else incomplete
    # As it was typed, in whatever case: a shell takes only what continues that.
    return [
        incomplete + device.id[len(start) :]
        for device in catalog.DEVICES
        if device.id.lower().startswith(start.lower())
    ]


def hardware_or_here(incomplete: str) -> list[str]:
    """The same, and this machine."""
    return [word for word in ("here",) if word.startswith(incomplete)] + hardware(incomplete)


def servers(incomplete: str) -> list[str]:
    """Servers by the names of their records: whether they run takes longer to find out."""
    names = _folders("servers", "server.json")
    # Of one that was replaced the first record may be gone; it is called the same.
    return sorted({each for name in names for each in (name, name.partition("@")[0]) if each.startswith(incomplete)})


def engine_versions(incomplete: str) -> list[str]:
    """Folders of environments: their names begin with the version."""
    from selfhost.home import find_home

    try:
        found = sorted({path.parent.name for path in find_home().engines.glob("*/*/selfhost-engine.json")})
    except OSError:
        return []
    return [name for name in _plain(found) if name.startswith(incomplete)]


def engines(incomplete: str) -> list[str]:
    """What `engine` takes."""
    from selfhost.engines import specs

    names = {*(spec.name for spec in specs.SPECS), specs.QUANTIZE, specs.ASCEND}
    return [name for name in sorted(names) if name.startswith(incomplete)]


def keys(incomplete: str) -> list[str]:
    """Names of API keys."""
    from selfhost.errors import SelfhostError
    from selfhost.home import find_home
    from selfhost.serve import keys as kept

    try:
        return [name for name in _plain(key.name for key in kept.load(find_home())) if name.startswith(incomplete)]
    except (SelfhostError, OSError):
        return []


def _folders(kind: str, file: str) -> list[str]:
    from selfhost.home import find_home

    try:
        return sorted(_plain(path.parent.name for path in (find_home().root / kind).glob(f"*/{file}")))
    except OSError:
        return []


def devices(incomplete: str) -> list[str]:
    """Device nodes that are there, after those that are typed; vendors' tools may take seconds and are not asked."""
    before, comma, start = incomplete.rpartition(",")
    named = before.split(",")
    found = _device_numbers()
    return [f"{before}{comma}{n}" for n in found if n.startswith(start) and n not in named]


def _device_numbers() -> list[str]:
    for names in ("nvidia[0-9]*", "davinci[0-9]*"):
        found = (re.search(r"\d+$", path.name) for path in Path("/dev").glob(names))
        if numbers := sorted(int(number[0]) for number in found if number):
            return [str(number) for number in numbers]
    return [str(number) for number in sorted(os.sched_getaffinity(0))]


def variants(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the recipe that is typed before it; of a directory there is one."""
    from selfhost.errors import SelfhostError
    from selfhost.home import find_home
    from selfhost.recipe.load import load_recipe

    # An option whose value is missing keeps the words before it from being parsed: they are left over then.
    name = next((word for word in (ctx.params.get("model"), *ctx.args) if word and not word.startswith("-")), None)
    if name is None:
        return []
    try:
        recipe = load_recipe(name, find_home())
    except (SelfhostError, OSError):
        return []
    return [variant.name for variant in recipe.variants if variant.name.startswith(incomplete)]


def schemes(incomplete: str) -> list[str]:
    """What `quantize` makes."""
    from selfhost.quantize.schemes import SCHEMES

    return [scheme.name for scheme in SCHEMES if scheme.name.startswith(incomplete.lower())]


def sources(incomplete: str) -> list[str]:
    """Kinds of places; directories once the word looks like a path."""
    if incomplete.startswith((".", "/", "~")):
        return _directories(incomplete)
    words = ("huggingface", "modelscope", "wheel", "http://", "https://")
    return [word for word in words if word.startswith(incomplete)]
