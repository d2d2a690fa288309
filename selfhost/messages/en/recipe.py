"""Messages about recipes. The ids used for one key of a recipe are phrases, put after the key's path."""

from selfhost.messages import Text

MESSAGES = {
    "recipe.invalid": Text(
        "recipe `{path}` is not valid: {count} to correct",
        "{problems}",
        "correct the keys above; `selfhost recipe show smollm2-135m --json` shows one that is valid",
    ),
    "recipe.newer_schema": Text(
        "recipe `{path}` is of a newer kind than this selfhost reads",
        "schema_version: found {found}, known up to {known}",
        "upgrade selfhost, or take the recipe from the release you run",
    ),
    "recipe.nothing_to_extend": Text(
        "recipe `{path}` extends a built-in recipe that this selfhost does not have",
        "extends = true adds variants to the built-in recipe `{name}`; there is none",
        "upgrade selfhost, or remove the file: `rm {path}`",
    ),
    "recipe.not_toml": Text(
        "recipe `{path}` is not valid TOML",
        "{detail}",
        "correct that line; numbers stand without quotes, strings with them",
    ),
    "recipe.not_readable": Text(
        "recipe `{path}` cannot be read",
        "{detail}",
        "make it readable: `chmod a+r {path}`",
    ),
    "recipe.no_path": Text(
        "`--recipe-path {path}` is neither a directory nor a .toml file",
        hint="name a directory with recipes (`NAME.toml` or `FAMILY/NAME.toml`), or one such file",
    ),
    "recipe.no_family": Text(
        "no recipe is of family `{family}`",
        "families: {known}",
        "name one of them, or a folder of families: `qwen`",
    ),
    "recipe.no_engine": Text(
        "engine `{engine}` is not one that recipes can be chosen by",
        "known: {known}",
        "name one of them; for other accelerators use `selfhost recipe ls --fits-here --on HW`",
    ),
    "recipe.no_file": Text(
        "there is no file `{path}`",
        hint="name a recipe (`selfhost recipe ls`) or a .toml file",
    ),
    "recipe.unknown": Text(
        "no recipe named `{name}`",
        "known recipes: {count}, none with a name like it",
        "`selfhost recipe ls` lists them; a directory is written `./{name}`",
    ),
    "recipe.unknown_near": Text(
        "no recipe named `{name}`",
        "nearest of {count}: {nearest}",
        "did you mean `{suggestion}`? `selfhost recipe ls` lists all; a directory is written `./{name}`",
    ),
    "recipe.unknown_variant": Text(
        "recipe `{recipe}` has no variant `{variant}`",
        "variants: {names}",
        "try `--variant {suggestion}`; `selfhost recipe show {recipe}` tells more",
    ),
    "recipe.unserved": Text("no engine here serves `{name}`", "{reasons}", "{instead}"),
    "recipe.not_served": Text("{variants} (unsupported)"),
    "recipe.active": Text("{total}, {active} active"),
    "recipe.none_matches": Text("no recipe matches; `selfhost recipe ls` lists all"),
    "recipe.skipped": Text("left out `{path}`: {problem}; `selfhost recipe show {name}` tells all"),
    # Phrases after `path.of.key: `
    "recipe.missing_key": Text("missing, {wanted} is wanted"),
    "recipe.unknown_key": Text("not a known key; known here: {known}"),
    "recipe.unknown_key_near": Text("not a known key, did you mean {known}?"),
    "recipe.type": Text("{found}, {wanted} is wanted"),
    "recipe.empty": Text("is empty"),
    "recipe.not_positive": Text("{value}, a number above 0 is wanted"),
    "recipe.negative": Text("{value}, 0 or more is wanted"),
    "recipe.form": Text("`{value}` does not have the form {pattern}"),
    "recipe.choice": Text("`{value}` is not one of {known}"),
    "recipe.choice_near": Text("`{value}` is not known, did you mean `{known}`?"),
    "recipe.too_large": Text("{value}, which is more than a TOML integer holds"),
    "recipe.not_finite": Text("{value}, a finite number is wanted"),
    "recipe.too_deep": Text("more than {limit} tables in one another"),
    "recipe.not_json": Text("{found}, which a config.json cannot hold"),
    "recipe.nested": Text("tables or lists are nested too deeply to be read"),
    "recipe.duplicate": Text("`{value}` is there twice"),
    "recipe.outside": Text("`{value}` leads out of the source"),
    "recipe.name_differs": Text("`{found}`, but the file is named `{wanted}.toml`"),
}
