"""Messages of `bench`."""

from selfhost.messages import Text

MESSAGES = {
    "bench.starting": Text("starting the load generator: `vllm bench serve` of the server's own environment"),
    "bench.warming": Text("round {number} of {of}: {requests} requests to warm up"),
    "bench.round": Text("round {number} of {of}: {done} of {requests} requests, {concurrency} at once"),
    "bench.same_cores": Text("the load generator took cores from the engine: on a CPU, figures are lower for it"),
    "bench.kept": Text("kept: {path}"),
    "bench.not_kept": Text("these figures could not be kept under {path}"),
    "bench.lengths": Text("prompt + answer, tokens: {lengths}; {languages}"),
    "bench.promise": Text(
        "promise ({source}): {concurrency} requests of {tokens} tokens at once",
    ),
    "bench.holds": Text("the promise holds: no error, no preemption, KV cache at most {usage} full"),
    "bench.broken": Text(
        "the promise of `{name}` does not hold: {concurrency} requests of {tokens} tokens at once",
        "{reasons}",
        "start it for fewer at once or shorter ones: `selfhost serve {model} --max-num-seqs {fewer}`, "
        "or with a smaller `--max-model-len`",
    ),
    "bench.not_shown": Text(
        "it was not shown that the promise of `{name}` holds: {concurrency} requests of {tokens} tokens at once",
        "nothing failed, but {reasons}",
        "try it with more requests: `selfhost bench {name} --promise --num-prompts {more}`",
    ),
    "bench.failed": Text("{failed} of {requests} requests failed: {error}"),
    "bench.truncated": Text("{truncated} of {requests} answers broke off"),
    "bench.preempted": Text("{preemptions} preemptions: the KV cache was full, and requests began again"),
    "bench.queued": Text(
        "no more than {running} of {promised} ran at once, the others waited: the KV cache was {usage} full"
    ),
    "bench.server_ended": Text("the server ended: {what}"),
    "bench.no_round": Text("the load generator did not finish a round"),
    "bench.no_metrics": Text("the engine did not tell how many requests ran and how many were preempted"),
    "bench.not_together": Text("no more than {running} of {promised} were seen to run at once"),
    "bench.nothing_completed": Text(
        "`{name}` completed none of the requests",
        "{error}",
        "see what it says: `selfhost logs {name} -n 50`",
    ),
    "bench.some_failed": Text("of {requests} requests {failed} failed and {truncated} broke off: {error}"),
    "bench.died": Text(
        "the load generator ended before its work was done",
        "{how}: {detail}\nlog: {log}",
        "does the server run with an engine of its own? `selfhost engine ls`; its log says more",
    ),
    "bench.busy": Text(
        "another benchmark of `{name}` is running",
        "two at once would measure each other",
        "wait until it is done",
    ),
    "bench.bad_levels": Text(
        "not a list of how many requests at once: `{given}`",
        "numbers from 1 on, with commas between them",
        "for example `--concurrency 1,8,64`",
    ),
    "bench.too_long": Text(
        "prompt and answer do not fit into the context of `{name}`",
        "{wanted} tokens are wanted, its `max_model_len` is {max_model_len}",
        "ask for less: `--input-len`, `--output-len`",
    ),
    "bench.either": Text(
        "`{one}` and `{other}` cannot be combined",
        "{why}",
        "leave one of them out",
    ),
    "bench.either_rounds": Text("both say how long a round is"),
    "bench.either_promise": Text("the promise decides how many requests there are at once, and their lengths"),
}
