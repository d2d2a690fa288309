"""Messages of `recipe new`: what stands in a recipe that is only begun, and what it cannot be begun from."""

from selfhost.messages import Text

MESSAGES = {
    # Errors
    "draft.name_taken": Text(
        "a built-in recipe is named `{name}`",
        "`{path}` would stand in its place",
        "for one more checkpoint of it: `--variant-of {name}`; for another model give another name: `--name NAME`",
    ),
    "draft.hub_id_known": Text(
        "`{id}` is in recipe `{recipe}` already, as its {what}",
        "two recipes with one hub id could not be told apart",
        "see `selfhost recipe show {recipe}`; to look at a new one all the same: `--output -`",
    ),
    "draft.the_model_itself": Text("model"),
    "draft.a_variant": Text("variant `{variant}`"),
    "draft.exists": Text(
        "`{path}` is there already",
        "what somebody wrote in it would be lost",
        "write elsewhere with `--output FILE`, look first with `--output -`, or replace it with `--force`",
    ),
    "draft.bad_name": Text(
        "`{name}` cannot be the name of a recipe",
        "wanted: small letters and digits, `.`, `_` and `-` between them",
        "give one that can: `--name my-model`",
    ),
    "draft.output_name": Text(
        "the file `{path}` cannot hold the recipe `{name}`",
        "a recipe has the name of its file: wanted `{name}.toml`",
        "leave `--name` out, or write to `--output {name}.toml`",
    ),
    "draft.not_a_model": Text(
        "`{what}` is neither a hub id nor a directory",
        "wanted `ORGANISATION/NAME`, as the Hugging Face hub or ModelScope has it, or a directory with a config.json",
        "a directory is written `./{what}`",
    ),
    "draft.offline": Text(
        "offline, so `{id}` cannot be looked at",
        "its config and the sizes of its files are asked of a hub; {reason}",
        "run without `--offline` and `SELFHOST_OFFLINE`, or name a directory that has it: "
        "`selfhost recipe new {directory}`",
    ),
    "draft.directory_source": Text(
        "`{option}` does not go with a directory",
        "`{path}` is the source",
        "leave `{option}` out, or name a hub id",
    ),
    "draft.variant_options": Text(
        "`{option}` does not go with `--variant-of`",
        "a variant has the family and the title of its recipe",
        "leave `{option}` out",
    ),
    "draft.other_model": Text(
        "`{id}` is no checkpoint of `{recipe}`",
        "{key}: recipe {wanted}, repository {found}",
        "begin a recipe of its own: leave `--variant-of` out",
    ),
    "draft.not_understood": Text(
        "the config of `{id}` is not understood, so it cannot be compared with recipe `{recipe}`",
        "{detail}",
        "begin a recipe of its own: leave `--variant-of` out",
    ),
    "draft.config_differs": Text(
        "the config of `{id}` cannot be told as a variant of `{recipe}`",
        "with all keys of the recipe's config that it says otherwise, the architecture is still another one",
        "begin a recipe of its own: leave `--variant-of` out",
    ),
    "draft.variant_taken": Text(
        "recipe `{recipe}` has a variant `{variant}` already",
        "variants: {names}",
        "give another name: `--name {variant}-2`, or put it in its place with `--force`",
    ),
    "draft.variant_written": Text(
        "variant `{variant}` of `{recipe}` stands in `{path}`, which somebody wrote",
        "it cannot be cut out without touching what stands around it",
        "remove it there, or give another name: `--name {variant}-2`",
    ),
    "draft.cannot_add": Text(
        "no variant can be added to recipe `{recipe}` in `{path}`",
        "with it the file would not be valid: {detail}",
        "write its variants as `[[variant]]` tables; the file is as it was",
    ),
    "draft.recipe_elsewhere": Text(
        "recipe `{recipe}` is in `{path}`, which is not where your own recipes lie",
        "wanted: a built-in recipe, or one in `{folder}`",
        "copy it there, or print the variant and put it in by hand: `--output -`",
    ),
    "draft.only_builtin": Text(
        "`{path}` cannot add a variant to `{recipe}`",
        "a file of its own can extend a built-in recipe only; `{recipe}` is in `{origin}`",
        "leave `--output` out: the variant is put into that file",
    ),
    # What stands in the file
    "draft.head": Text(
        "Begun by `selfhost recipe new {of}`: what was read or computed stands here, what is left to do says TODO"
    ),
    "draft.variant_head": Text("A variant that `selfhost recipe new` wrote"),
    "draft.variant_rest": Text("All else is as the built-in recipe of this name says"),
    "draft.variant_of": Text("Config and file sizes: {of}"),
    "draft.summary_model": Text("Language model"),
    "draft.summary_model_sees": Text("Language model that sees images"),
    "draft.summary_dense": Text("Dense language model"),
    "draft.summary_dense_sees": Text("Dense language model that sees images"),
    "draft.summary_experts": Text("Mixture of experts"),
    "draft.summary_experts_sees": Text("Mixture of experts that sees images"),
    "draft.fact_config": Text("config"),
    "draft.fact_counted": Text("config; parameters: counted from it"),
    "draft.fact_bytes": Text("bytes: sizes of the files; bytes_loaded: less what the config says is not loaded"),
    "draft.fact_sampling": Text("sampling"),
    "draft.fact_licence": Text("licence"),
    "draft.licence_not_read": Text("licence: {id} by the metadata of the README; its text was not read"),
    "draft.licence_differs": Text(
        "licence: {id} by the metadata of the README, but its licence file looks like {other}"
    ),
    "draft.licence_terms": Text("licence: its terms were not read; research_only is by its name"),
    "draft.licence_by_text": Text("licence: {id} by the beginning of the licence file; no metadata names it"),
    "draft.licence_unknown": Text("licence: nothing that was read tells it"),
    "draft.note_code": Text(
        "Its model class is Python code in the repository: the engine runs it only with `--trust-remote-code`, "
        "which selfhost does not pass"
    ),
    "draft.note_tokenizer": Text(
        "Its tokenizer is Python code in the repository: the engine runs it only with `--trust-remote-code`, "
        "which selfhost does not pass"
    ),
    "draft.files_doubt": Text("files: {sentence}"),
    "draft.not_read": Text("Its terms were not read when this recipe was begun: read them before use"),
    # What is left to do; each stands after the key
    "draft.todo_family": Text("guessed from the name; `selfhost recipe ls --family NAME` shows who else is in it"),
    "draft.todo_summary": Text("one line on what it is for; the model card tells"),
    "draft.todo_hub_id": Text("its repository at the Hugging Face hub, of the model itself"),
    "draft.todo_context": Text("tokens the model was made for; the config does not say"),
    "draft.todo_parameters": Text("not counted: selfhost does not understand the config; the model card tells"),
    "draft.todo_licence": Text("neither the README nor a licence file tells it; an SPDX id, or LicenseRef-NAME"),
    "draft.todo_licence_url": Text("the https address of its text"),
    "draft.todo_conditions": Text(
        "read the text; then what a user must know before use, one sentence each, in the place of this one, "
        "and `research_only = true` when commercial use is not allowed"
    ),
    "draft.todo_scheme": Text("not known from the config; `selfhost recipe lint` names those there are"),
    "draft.todo_loaded": Text(
        "bytes_on_disk less what the engine leaves out; not computed: the sizes of the files are not what the config "
        "leads to"
    ),
    "draft.todo_contradiction": Text("weight files beside the config: {sentence}"),
    "draft.todo_other_hub": Text("the same files at {hub}, when it has them under this id: look there"),
    "draft.todo_revision": Text("the 40 digits of a commit; the hub named none"),
    "draft.todo_parser_like": Text("as in {of}; take it when this model's chat template writes the same form"),
    "draft.todo_tool_call_parser": Text(
        "for a model that calls tools, by the form in which its chat template writes them; of a wrong name the linter "
        "tells the nearest"
    ),
    "draft.todo_reasoning_parser": Text("for a model that thinks before it answers; nothing for one that does not"),
    "draft.todo_sampling": Text("the model card's values; there is no generation_config.json that has any"),
    "draft.todo_check": Text("a question with a sure answer that does not stand in the question"),
    "draft.todo_source": Text("for each place facts were taken from, the address"),
    # The command's own lines
    "draft.left_line": Text("TODO {todo}"),
    "draft.next_lint": Text("next: selfhost recipe lint {path}"),
    "draft.next_plan": Text("next: selfhost plan {name}"),
    "draft.next_plan_elsewhere": Text("next: selfhost plan {name} --recipe-path {path}"),
    "draft.next_plan_variant": Text("next: selfhost plan {name} --variant {variant}"),
    "draft.made_of": Text(
        "its README says that it was made of `{base}`, which recipe `{recipe}` has: "
        "`--variant-of {recipe}` adds it there"
    ),
}
