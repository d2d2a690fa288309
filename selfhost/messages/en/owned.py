"""Messages about options after `--` and variables of the engine."""

from selfhost.messages import Text

MESSAGES = {
    "owned.own_option": Text(
        "`{flag}` belongs to selfhost",
        "selfhost must know where the server listens, to reach it and to guard it",
        "give `{flag}` before the `--`",
    ),
    "owned.listening": Text(
        "`{flag}` belongs to selfhost",
        "it changes where or how the server listens: selfhost could not tell whether it is ready",
        "use `--host` and `--port`; put TLS and paths into a proxy in front (nginx, Caddy)",
    ),
    "owned.tls": Text(
        "`{flag}` belongs to selfhost",
        "selfhost must know the certificate of a server, to reach it and to tell it from another",
        "`selfhost serve MODEL --ssl-certfile FILE --ssl-keyfile FILE`, before the `--`; rendered servers have it in "
        "their gateway",
    ),
    "owned.tls_clients": Text(
        "`{flag}` belongs to selfhost",
        "it is about certificates of clients; selfhost's own checks of the server have none, and keys say who asks",
        "leave it out; certificates that lead to a root go into the file of `--ssl-certfile`, after the server's own",
    ),
    "owned.keys": Text(
        "`{flag}` belongs to selfhost",
        "keys are checked on every route by selfhost's own gate; the engine's `--api-key` leaves some open, "
        "and a key on a command line is visible to every user of the host",
        "`selfhost key new` makes a key",
    ),
    "owned.front_end": Text(
        "`{flag}` belongs to selfhost",
        "it starts another front end or opens other routes, which selfhost's gate would not guard",
        "leave it out",
    ),
    "owned.config_file": Text(
        "`{flag}` belongs to selfhost",
        "a file of options could hold any of those that selfhost decides",
        "give the options themselves after the `--`",
    ),
    "owned.part_of_plan": Text(
        "`{flag}` belongs to selfhost",
        "the plan decides it",
        "name the model first; use `--max-model-len`, `--max-num-seqs` and `--gpu-memory-utilization` for memory",
    ),
    "owned.layout": Text(
        "`{flag}` belongs to selfhost",
        "it multiplies the devices of a layout, and plans do not know it yet",
        "use `--tensor-parallel-size` and `--pipeline-parallel-size`; for long contexts also `-- "
        "--decode-context-parallel-size`",
    ),
    "owned.format": Text(
        "`{flag}` belongs to selfhost",
        "the figures of the plan rest on the format of the checkpoint",
        "choose the checkpoint instead: `--variant NAME` of a recipe, or another directory",
    ),
    "owned.pickle": Text(
        "`{flag} {value}` is refused: it reads pickle files, which can run any code when they are opened",
        "wanted: safetensors",
        "leave it out: safetensors are found by themselves",
    ),
    "owned.remote_code": Text(
        "`{flag}` is refused: it runs the Python files of the model's directory",
        "selfhost lets no code of a model run that nobody has reviewed, and has no way yet to say that somebody has",
        "leave it out: an architecture that the engine has itself needs no code of the model",
    ),
    "owned.unknown": Text(
        "{engine} {version} has no option `{flag}`",
        "nearest: {nearest}",
        "abbreviations are not taken: write the option out, or leave it out",
    ),
    "owned.unknown_key": Text(
        "{engine} {version} has no key `{key}` of `{flag}`",
        "nearest: {nearest}; a key that it does not read has no effect, and it does not say so",
        "correct the key, or leave it out",
    ),
    "owned.not_an_option": Text(
        "`{word}` is not an option",
        "what follows the model or `--` must be options of the engine with their values",
        "selfhost plan MODEL --on HW -- --seed 1",
    ),
    "owned.value_missing": Text("`{flag}` needs a value", hint="write `{flag} VALUE` or `{flag}=VALUE`"),
    "owned.one_value": Text(
        "`{flag}` takes one value here, not `{values}`", hint="a server has one name; give one value"
    ),
    "owned.choice": Text("`{flag}` cannot be `{value}`", "choices: {choices}", "use one of the choices"),
    "owned.not_a_number": Text("`{flag}` needs a number, not `{value}`", hint="for example `{flag} 1`"),
    "owned.not_an_object": Text(
        "`{flag}` needs a JSON object, not `{value}`",
        hint="""for example `{flag} '{{"method": "mtp", "num_speculative_tokens": 1}}'`""",
    ),
    "owned.given_twice": Text("`{flag}` is given twice: {first} and {second}", hint="give it once, before the `--`"),
    "owned.variable": Text(
        "`{name}` is set in the environment, but selfhost decides it: the engine is started without it",
        hint="unset {name}",
    ),
}
