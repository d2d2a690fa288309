"""Messages about versions of an engine side by side."""

from selfhost.messages import Text

MESSAGES = {
    "versions.unknown": Text(
        "no environment of `{engine}` is of version `{version}`",
        "installed: {found}",
        "`selfhost engine install {name}` makes that of this selfhost: {pin}\n"
        "another version comes with the selfhost that pins it, or name a Python: `--engine-python PYTHON`",
    ),
    "versions.several": Text(
        "version `{version}` means several environments",
        "{found}",
        "name one: `--engine-version {first}`",
    ),
    "versions.differs": Text(
        "planned for {engine} {planned}, started with {version}: its memory and its options may differ ({path})"
    ),
    "versions.python_and_version": Text("`--engine-python` and `--engine-version` both name an environment: give one"),
    "versions.same": Text("to be started with {engine} {version}: {path}"),
    "versions.none_to_remove": Text(
        "engine `{name}` is not installed in version `{version}`",
        "installed: {found}",
        "`selfhost engine ls` shows what is there",
    ),
    "versions.nothing_unused": Text("every environment is of this selfhost's locks or a server runs from it"),
    "versions.which_to_remove": Text(
        "no engine is named",
        hint="say which: `selfhost engine remove NAME`, or all that nothing needs: `selfhost engine remove --unused`",
    ),
    "versions.not_with_unused": Text("`--unused` looks at every engine: NAME and `--version` do not go with it"),
}
