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
        "carry the wheel along and add it there: `python3 -m pip install --no-index --no-deps --find-links DIR "
        "flashinfer-cubin=={version}` in the engine's environment",
    ),
    "closure.cubin_version": Text(
        "FlashInfer's compiled kernels are those of another version",
        "wanted: {version}\nfound: {found}",
        "take the same version of both: `flashinfer-cubin=={version}`",
    ),
    "closure.fetcher": Text(
        "the command runs a program that fetches something: {program}",
        "{command}",
        "install it before the bundle is created, and take it out of the command",
    ),
    "closure.repository": Text(
        "`{option}` names a repository that the bundle does not have: {repository}",
        "the engine would fetch it from the hub",
        "bundle it too: `selfhost bundle create --model {repository} ...`, and name its path there",
    ),
    "closure.environment": Text(
        "the engine is not told to stay off the network",
        "lacking: {variables}",
        "start it with them: `export {variables}`",
    ),
    "closure.token": Text(
        "a token would go along: {variables}",
        hint="behind the gap none is needed: `unset HF_TOKEN HUGGING_FACE_HUB_TOKEN`",
    ),
    "closure.host_ip": Text(
        "the engine would find its own address by a connection to a public name server",
        hint="tell it: `export VLLM_HOST_IP=127.0.0.1`, or the address of the machine in its cluster",
    ),
    "closure.media": Text(
        "requests can make the engine fetch pictures, sound and video from anywhere",
        hint="allow no host: `--allowed-media-domains none.invalid`",
    ),
    "closure.docs": Text(
        "the engine's page of documentation loads scripts from a content delivery network",
        hint="leave it out: `--disable-fastapi-docs`",
    ),
}
