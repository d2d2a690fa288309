"""Findings about recipes: what is valid as a file, but wrong, doubtful or not reproducible."""

from selfhost.messages import Text

MESSAGES = {
    "lint.unpinned": Text(
        "variant `{variant}` comes from {kind} `{id}` at no fixed commit",
        "revision: {found}; what is downloaded can change any day",
        'set `revision = "..."` to the 40 digits of a commit',
    ),
    "lint.hardware": Text(
        "hardware `{found}` is not known",
        "nearest: {nearest}",
        "write it as after `--on`: `8xH20`; `selfhost plan {recipe} --on {found}` tells more",
    ),
    "lint.engine_unknown": Text(
        "engine `{found}` is not known",
        "known: {known}",
        "use one of them",
    ),
    "lint.scheme_unknown": Text(
        "scheme `{found}` of variant `{variant}` is not known",
        "known: {known}",
        "use the one that the files are in, or leave the variant out until selfhost can plan it",
    ),
    "lint.scheme": Text(
        "variant `{variant}` is called {scheme}, but its config says otherwise",
        "wanted: {wanted}; found: {found}",
        "correct `scheme`, or `quantization_config` as it stands in the repository's config.json",
    ),
    "lint.config": Text(
        "variant `{variant}`: {problem}",
        "{detail}",
        "compare `config` with the config.json in the model's repository",
    ),
    "lint.architecture": Text(
        "architecture {found} is not in the registry of {engine} {version}",
        "nearest there: {nearest}",
        "correct `architectures`, or leave the recipe out until the engine has it",
    ),
    "lint.not_lacking": Text(
        "the recipe says that {engine} does not have the model, but {engine} {version} has {found}",
        "a record of `unsupported` without `hardware` is about the engine as such",
        "remove the record, or name the `hardware` where it was seen to fail",
    ),
    "lint.no_instead": Text(
        "the recipe says that {engine} does not have the model, and not what can serve it",
        "whoever asks for it is told why it cannot be served, and no way on",
        "name one in `instead`: a version or fork that has it, or another recipe that does its work",
    ),
    "lint.parser": Text(
        "{engine} {version} has no {what} named `{found}`",
        "nearest: {nearest}",
        "use one that it has, or leave the key out",
    ),
    "lint.setting": Text(
        "`{flag}` is a setting of the plan, not a flag of a recipe",
        "given here, the figures of `selfhost plan` would leave it out",
        "remove it from `engine_args`; for the context use `max_model_len`",
    ),
    "lint.config_key": Text(
        "`{key}` is not a key that planning reads: did you mean `{nearest}`?",
        "a key of `config` that nobody reads changes nothing",
        "write it as in the model's `config.json`",
    ),
    "lint.context": Text(
        "variant `{variant}` is served with {found:,} tokens of context, but was made for {longest:,}",
        "`{key}`: found {found}, largest without rope scaling {longest}",
        "lower it, or extend it on purpose with `rope_scaling` in `config` or `--hf-overrides` in `engine_args`",
    ),
    "lint.long_context": Text(
        "the longer context of {found:,} tokens is not what its rope scaling reaches",
        "wanted: more than {context:,}, at most {longest:,} (factor x original_max_position_embeddings)",
        "correct `context`, `factor` or `original_max_position_embeddings` under `long_context`",
    ),
    "lint.bytes": Text(
        "`{key}` of variant `{variant}` is {percent:+.1f} % off what its architecture computes",
        "found {found:,}, computed {computed:,}: embeddings, head, layers and scales in {scheme}",
        "compare with the sizes of the files in the repository; if those are right, the config is not",
    ),
    "lint.bytes_order": Text(
        "variant `{variant}` loads more than it has on disk",
        "bytes_loaded {loaded:,}, bytes_on_disk {disk:,}",
        "correct one of them",
    ),
    "lint.parameters": Text(
        "`parameters` is {percent:+.1f} % off what the architecture computes",
        "found {found:,}, computed {computed:,}, without layers of multi-token prediction",
        "compare with the model card; a name like `72B` is rounded",
    ),
    "lint.licence_reference": Text(
        "the licence `{id}` has no address where its text is",
        "url: {found}",
        "set `licence.url` to the https address of the text",
    ),
    "lint.licence_unknown": Text(
        "the terms of `{name}` are not known",
        "whoever fetches it would be told none",
        "set `licence.id` to an SPDX id, or to `LicenseRef-NAME` with `conditions`, by what the model card says",
    ),
    "lint.no_facts": Text(
        "no source is given for any fact of this recipe",
        hint="add `[[source]]` with `fact` and `url` for each place facts were taken from",
    ),
    "lint.fact_source": Text(
        "the source of a fact is not an address",
        "fact: {fact}; url: {found}",
        "give the https address it was taken from",
    ),
    "lint.hub_id_twice": Text(
        "hub id `{id}` is also in recipe `{other}`",
        "`selfhost serve {id}` could mean either",
        "keep it in one of them, as a variant",
    ),
    "lint.folder": Text(
        "the recipe lies in folder `{folder}`, which is neither its family nor its name's beginning",
        "family: {family}; name: {name}",
        "move the file to the folder of its family, or correct `family`",
    ),
    "lint.claim_variant": Text(
        "a claim is about variant `{found}`, which the recipe does not have",
        "known: {known}",
        "correct `variant`, or add the variant",
    ),
    "lint.claim_engine": Text(
        "a claim is about {found} on {hardware}, which {engine} drives",
        hint="correct `engine` or `hardware`",
    ),
    "lint.claim_refused": Text(
        "variant `{variant}` is said to run on {hardware}, but `selfhost plan` refuses it there",
        "{reason}",
        "correct the claim, or set `refused = true` with the reason in `note`",
    ),
    "lint.claim_lacks": Text(
        "variant `{variant}` is said to run on {hardware}, but each device there lacks {missing} GiB for it",
        "{reason}",
        "correct the claim, or say it: `lacks_gib = {missing}`",
    ),
    "lint.claim_figure": Text(
        "variant `{variant}` on {hardware}: `lacks_gib` is not what the planner computes",
        "found {found}, computed {missing}",
        "set `lacks_gib = {missing}`",
    ),
    "lint.claim_fits": Text(
        "variant `{variant}` is said not to fit on {hardware}, but it does",
        hint="remove `lacks_gib` and `refused` from the claim",
    ),
    "lint.no_claim": Text(
        "variant `{variant}` is made for Ascend, and nothing says on which hardware it was run",
        hint="add `[[claim]]` with hardware, options and the address of whoever published them",
    ),
    "lint.check_in_question": Text(
        "the check expects `{expect}`, which already stands in its question",
        "a model that only repeats the question would pass",
        "ask for something that the question does not contain",
    ),
    "lint.sampling": Text(
        "{name} {found:g} is out of range",
        "wanted: {wanted}",
        "use the value of the model card, or leave it out for the engine's default",
    ),
    # The command's own lines.
    "lint.hint": Text("hint: {hint}"),
    "lint.line": Text("{path}: {severity}: {where}: {what}"),
    "lint.clean": Text("{count} recipes, nothing to correct"),
    "lint.count": Text("{count} recipes: {errors} errors, {warnings} warnings"),
}
