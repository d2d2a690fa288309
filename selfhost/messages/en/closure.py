"""Messages about what an engine would fetch while it runs."""

from selfhost.messages import Text

MESSAGES = {
    "closure.verifier": Text(
        "{name} drafts for another model, which the bundle does not have: {repository}",
        "the engine would fetch it from the hub",
        "bundle both: `selfhost bundle create --model {repository} ...`",
    ),
    "closure.vocabulary": Text(
        "{name} lacks the vocabulary that its tokenizer reads: {files}",
        "the engine would look for it on the hub",
        "get the model whole: `selfhost pull MODEL --update`",
    ),
    "closure.harmony": Text(
        "{name} needs a vocabulary that is not among its files: {file}",
        "the engine's openai_harmony fetches it at the first chat, unless `TIKTOKEN_ENCODINGS_BASE` names its folder",
        "put `{file}` into a folder, carry it along, and set there: `export TIKTOKEN_ENCODINGS_BASE=/path/to/folder`",
    ),
    "closure.cubin": Text(
        "FlashInfer's compiled kernels are not among the wheels: flashinfer-cubin {version}",
        "without them it fetches or compiles kernels when they are first used; "
        "where it can do neither, the engine turns FlashInfer off and takes slower kernels",
        "put its wheel beside the others in `{folder}`, then create the bundle again; where the engine is online, "
        "`vllm download-kernels --dry-run` prints the command that gets it",
    ),
    "closure.cubin_version": Text(
        "FlashInfer's compiled kernels are those of another version",
        "wanted: {version}\nfound: {found}",
        "take the same version of both: `flashinfer-cubin=={version}`",
    ),
}
