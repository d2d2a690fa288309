"""Messages about wheelhouses and selfhost's own wheel."""

from selfhost.messages import Text

_AGAIN = "install it again: `python3 -m pip install --force-reinstall {name}`\n"
_GIVE = "or put a wheel of this selfhost into the folder that `--wheelhouse DIR` names"

MESSAGES = {
    "wheels.not_installed": Text(
        "selfhost runs from files that were not installed, so its wheel cannot be made",
        "wanted: an installed package `{name}`\nfound: {found}",
        "install it where the sources are: `python3 -m pip install .`\n" + _GIVE,
    ),
    "wheels.not_rebuilt": Text(
        "no wheel can be made of the installed package `{name}`",
        "{detail}",
        _AGAIN + _GIVE,
    ),
    "wheels.changed": Text(
        "the installed package `{name}` is not as it was installed: {path}",
        "{detail}",
        _AGAIN + _GIVE,
    ),
    "wheels.not_built": Text(
        "selfhost's wheel could not be built from `{source}`",
        "{line}",
        "in the environment of selfhost: `python3 -m pip install hatchling`\n" + _GIVE,
    ),
    "wheels.not_own": Text(
        "`{path}` is not a wheel of selfhost",
        "wanted: a wheel of `{name}`",
        "build it where the sources are: `python3 -m build --wheel`",
    ),
    "wheels.not_a_wheel": Text("`{path}` is not a wheel", "{detail}", "remove it, or get it again: `rm {path}`"),
    "wheels.offline": Text(
        "offline: wheels of `{name}` would be downloaded",
        "`SELFHOST_OFFLINE` is set, and no wheelhouse was named",
        "name a folder that has them: `--wheelhouse DIR`",
    ),
    "wheels.none_there": Text(
        "engine `{name}` has packages without a wheel for the machine there: {count}",
        "there: {machine}, Python {python}, glibc {glibc}\n{listed}",
        "an index may lack what another one has: `pip config list`\n"
        "or take another Python there: `python3.11 -m selfhost detect --json > target.json`",
    ),
    "wheels.own_conflict": Text(
        "the packages that selfhost needs do not go together on the machine there",
        "{listed}",
        "bring selfhost up to date here, which brings what it needs: `python3 -m pip install --upgrade selfhost-llm`",
    ),
    "wheels.own_incomplete": Text(
        "packages that selfhost needs could not be got: {wheel}",
        "{line}",
        "pip's own settings are used: `pip config list`\n"
        "with no registry at all: `selfhost bundle create ... --wheelhouse DIR`",
    ),
}
