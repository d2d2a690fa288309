"""Messages about what a model carries beside numbers."""

from selfhost.messages import Text

MESSAGES = {
    "risk.pickle": Text(
        "{name} has files that can run code when they are opened: {count}",
        "{files}",
        "take safetensors files instead; selfhost never lets an engine open these",
    ),
    "risk.program": Text(
        "{name} has programs or scripts: {count}",
        "{files}",
        "a model needs none: look at them, or leave the model out",
    ),
    "risk.archive": Text(
        "{name} has archives that were not looked into: {count}",
        "{files}",
        "look into them by hand; no engine needs them",
    ),
    "risk.code_named": Text(
        "{name} names code of its own, which an engine would run: {count}",
        "{files}",
        "review these files; an engine runs them only with `--trust-remote-code`",
    ),
    "risk.code_unnamed": Text(
        "{name} has source files that no configuration names: {count}",
        "{files}",
        "nothing runs them",
    ),
    "risk.code_absent": Text(
        "{name} names code that is not among its files: {files}",
        hint="get the model whole: `selfhost pull MODEL --update`",
    ),
    "risk.code_elsewhere": Text(
        "{name} names code of other repositories: {repositories}",
        "behind the gap it cannot be fetched",
        "choose a model that brings its code along, or whose architecture the engine has itself",
    ),
    "risk.no_licence": Text(
        "{name} comes without the text of its licence",
        hint="its terms are those that the recipe names: `selfhost recipe show MODEL`",
    ),
    "risk.structure": Text(
        "{name} is not whole",
        "{problems}",
        "repair it where there is a network: `selfhost verify MODEL --repair`",
    ),
}
