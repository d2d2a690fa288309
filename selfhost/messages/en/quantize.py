"""Messages about making variants."""

from selfhost.messages import Text

MESSAGES = {
    "quantize.unknown_scheme": Text(
        "scheme `{name}` is not one that is made here",
        "known: {names}",
        "did you mean `--scheme {nearest}`? `selfhost quantize MODEL --advise --on HW` tells which suits a device",
    ),
    "quantize.no_scheme": Text(
        "no scheme is named",
        "known: {names}",
        "add `--scheme fp8`, or ask which suits: `selfhost quantize {model} --advise --on HW`",
    ),
    "quantize.makes_no_files": Text(
        "`{mode}` makes no files, `{option}` is about those that are made",
        hint="leave one of them out",
    ),
    "quantize.bad_limit": Text(
        "`--max-kl {limit}` is no limit",
        "wanted: a number from 0 on, in nats per token",
        "name what may be lost: `--max-kl 0.05`",
    ),
    "quantize.no_limit_for": Text(
        "`--max-kl` cannot be held for `{scheme}`: nothing is measured",
        "16 bits hold every number that FP8 does",
        "leave `--max-kl` out",
    ),
    "quantize.on_without_advise": Text(
        "`--on` supposes hardware for advice; a variant is made by the hardware that is here",
        hint="add `--advise`, or leave `--on` out",
    ),
    "quantize.not_stored": Text(
        "the files of `{name}` are not in the store",
        "a variant is made of them",
        "`{command}`",
    ),
    "quantize.quantized_already": Text(
        "`{name}` is quantized already",
        "by {method}, in {format}; quantized once more, it would lose twice",
        "take it from weights in 16 bits: `{command}`",
    ),
    "quantize.quantized_for_good": Text(
        "`{name}` is quantized already",
        "by {method}, in {format}; what it lost does not come back",
        "take a variant in 16 bits, or FP8, which `--scheme bf16` turns into one; `selfhost recipe ls` names them",
    ),
    "quantize.plain_already": Text(
        "`{name}` is not quantized: `bf16` is made of FP8",
        hint="serve it as it is, or name another scheme: `--scheme fp8`",
    ),
    "quantize.fp8_wanted": Text(
        "`{name}` cannot be made into 16 bits: only FP8 can",
        "it is quantized by {method}, in {format}",
        "take the model's own files: `selfhost recipe ls` names its variants",
    ),
    "quantize.name_of_directory": Text(
        "`{path}` belongs to no recipe: there is no variant to be called `{name}`",
        hint="leave `--variant-name` out, and name a directory for the result: `--output DIR`",
    ),
    "quantize.bad_name": Text(
        "`{name}` cannot be the name of a variant",
        "wanted: {pattern}",
        "letters in lower case, digits, `.`, `_` and `-`: `--variant-name fp8-mine`",
    ),
    "quantize.name_taken": Text(
        "recipe `{recipe}` has a variant `{name}` that was not made here",
        "variants: {names}",
        "give it another name: `--variant-name {name}-local`",
    ),
    "quantize.not_in_flight": Text(
        "`--in-flight` goes with `--scheme nf4` only: `{scheme}` is made beforehand",
        hint="leave `--in-flight` out",
    ),
    "quantize.in_flight_summary": Text("Files of {source}, made into NF4 while they are loaded, by vllm-bnb-plugin"),
    "quantize.registered": Text("`{path}` knows `{name}` ({variant}); it has no files of its own"),
    "quantize.output_not_empty": Text(
        "`{path}` is there and not empty",
        hint="name a directory that is not there yet: `--output DIR`",
    ),
    "quantize.output_no_directory": Text(
        "`{path}` is there and no directory",
        hint="name a directory that is not there yet: `--output DIR`",
    ),
    "quantize.output_in_source": Text(
        "`{path}` lies in what it is made of",
        "`{source}` would hold two models",
        "name a directory beside it: `--output {source}-{scheme}`",
    ),
    "quantize.output_mounted": Text(
        "`{path}` is where a file system begins: the result cannot take its place",
        hint="name a directory in it: `--output {path}/{name}`",
    ),
    "quantize.name_or_directory": Text(
        "`--output` makes a plain directory: no recipe knows it by the name `{name}`",
        hint="leave `--variant-name` out, or `--output`",
    ),
    "quantize.no_parent": Text(
        "`{path}` cannot be made: there is no folder `{parent}`",
        hint="make it: `mkdir -p {parent}`",
    ),
    "quantize.output_needed": Text(
        "`{path}` belongs to no recipe: it must be said where the result goes",
        hint="add `--output DIR`; `selfhost serve DIR` takes it then",
    ),
    "quantize.recipe_elsewhere": Text(
        "the recipe `{path}` is not one that a variant can be added to",
        "variants are added to built-in recipes and to those in `{folder}`",
        "copy it there: `cp {path} {folder}/{name}.toml`; or make a plain directory: `--output DIR`",
    ),
    "quantize.recipe_broken": Text(
        "the recipe `{path}` would not be valid with the new variant; the files are in the store",
        "{detail}",
        "correct the file, or move it away and run the same command again",
    ),
    "quantize.exists": Text(
        "`{name}` has a variant `{variant}` already, made otherwise",
        "`{path}` is of another source or of other arguments",
        "remove it: `selfhost rm {name} --variant {variant}`; or give this one another name: `--variant-name NAME`",
    ),
    "quantize.not_measured": Text(
        "what `{name}` ({variant}) lost is not known: it was made with `--no-loss`",
        "`--max-kl` cannot be held for it",
        "leave `--max-kl` out, or make it anew: `selfhost rm {name} --variant {variant}`, then the same command",
    ),
    "quantize.runs": Text(
        "another process makes this variant",
        "it works in `{path}`",
        "wait for it, or stop it and run the same command again",
    ),
    # Shapes and text
    "quantize.no_groups": Text(
        "scheme `{scheme}` has no groups: `--group-size {size}` means nothing to it",
        hint="leave `--group-size` out, or take `--scheme w4a16-gptq`",
    ),
    "quantize.group_size": Text(
        "`--group-size {size}` is not one that engines have kernels for",
        "known: {sizes}",
        "leave it out: the largest that divides every layer is taken",
    ),
    "quantize.undivided": Text(
        "groups of {size} do not divide the layers of `{name}`",
        "{layers}",
        "`--group-size {fits}` divides all of them; without the option it is taken",
    ),
    "quantize.no_group_size": Text(
        "no group size divides the layers of `{name}`",
        "tried {sizes}; not divided by {size}: {layers}",
        "take a scheme with one scale per output: `--scheme w8a8`, `--scheme fp8`, `--scheme w8a16`",
    ),
    "quantize.needs_no_text": Text(
        "scheme `{scheme}` needs no calibration text",
        "given: `{path}`",
        "leave `--calibration` out",
    ),
    "quantize.bad_calibration": Text(
        "`{path}` is no calibration text",
        "{detail}",
        "name a .txt file with passages between empty lines, or a .jsonl file with a `text` in each line;\n"
        "without `--calibration` a Chinese and English text that ships with selfhost is taken",
    ),
    "quantize.no_blocks": Text(
        "blocks of 128 x 128 do not fit the layers of `{name}`",
        "{layers}",
        "take a scale per output instead: `--scheme fp8`",
    ),
    # Environment
    "quantize.no_python": Text(
        "`{python}` is no Python that can be run",
        hint="name the Python of an environment with llm-compressor; or install one: "
        "`selfhost engine install quantize`",
    ),
    "quantize.no_device": Text(
        "the device `{device}` is not there",
        "the environment's torch sees none",
        "leave `--device` out: a GPU is taken where there is one; what was said: `{log}`",
    ),
    # Space
    "quantize.disk_too_small": Text(
        "not enough space to make it",
        "`{path}`: {needed} needed, {free} free; the result takes {output}, {have} of it are there",
        "make room (`selfhost gc`), or point SELFHOST_HOME or `--output` at a larger disk",
    ),
    "quantize.no_memory": Text(
        "not enough memory for `{scheme}`",
        "{needed} needed ({terms}), {available} available",
        "stop what takes memory, take fewer samples (`--samples 128`), a scheme that needs no text (`--scheme fp8`), "
        "or do not compare: `--no-loss`",
    ),
    "quantize.term_shards": Text("twice the largest file"),
    "quantize.term_base": Text("Python and torch"),
    "quantize.term_model": Text("the model"),
    "quantize.term_activations": Text("what goes through a layer"),
    "quantize.term_layer": Text("a layer and its scales"),
    "quantize.term_comparing": Text("what is compared with the source at a time"),
    "quantize.term_moving": Text("reading and writing"),
    "quantize.term_copying": Text("its copy in 16 bits"),
    "quantize.term_passes": Text("passes of the text"),
    # The run
    "quantize.announced": Text(
        "{name}: {scheme}, {size} -> {output}, with at most {memory} of memory, into `{path}`",
    ),
    "quantize.resuming": Text(
        "{name}: {scheme}, {size} -> {output}, with at most {memory} of memory, into `{path}`; "
        "going on with {have} of an earlier run",
    ),
    "quantize.anew": Text(
        "{name}: {scheme}, {size} -> {output}, with at most {memory} of memory, into `{path}`; "
        "from the beginning, since calibration keeps nothing of a run that was cut off",
    ),
    "quantize.finished_before": Text(
        "{name}: {scheme}, {size} -> {output}, into `{path}`; its files are there from an earlier run",
    ),
    "quantize.dry_run": Text("would make `{name}` ({variant}) of {source}: {scheme}, {size} -> {output}"),
    "quantize.dry_run_needs": Text("disk: {disk} beside the source; memory: {memory} ({terms})"),
    "quantize.dry_run_argv": Text("by: {python} {script}"),
    "quantize.progress": Text("{what}: {done} of {total} ({percent} %){rate}{file}"),
    "quantize.progress_left": Text(", {rate}/s, {left} left"),
    "quantize.steps_left": Text(", {left} left"),
    "quantize.comparing": Text("comparing it with its source"),
    "quantize.made": Text("made `{name}` in {duration}: {path}"),
    "quantize.there_already": Text("`{name}` is there already, made of the same source by the same arguments: {path}"),
    "quantize.use_it": Text("serve it: `selfhost serve {name} --variant {variant}`"),
    "quantize.variant_summary": Text("{scheme}, made of {source} by `selfhost quantize`"),
    "quantize.variant_note": Text("How it was made: {name} beside its files"),
    # What a script says
    "quantize.already": Text(
        "the source is quantized already",
        "by {method}; quantized once more, it would lose twice",
        "take weights in 16 bits; of FP8 `--scheme bf16` makes some",
    ),
    "quantize.bad_job": Text(
        "the script does not understand its job",
        "{detail}",
        "it is of another release than this selfhost? what it said: `{log}`",
    ),
    "quantize.unsupported": Text(
        "this model cannot be quantized so",
        "{detail}",
        "another scheme may do: `selfhost quantize MODEL --advise --on HW`; what was said: `{log}`",
    ),
    "quantize.bad_shape": Text(
        "a layer has a shape that the scheme does not take",
        "{detail}",
        "take another `--group-size`, or another scheme",
    ),
    "quantize.shape": Text(
        "a layer has a shape that `{scheme}` does not take",
        "{tensor}: {rows} x {columns}, no multiple of {multiple}",
        "take a scheme with one scale per output: `--scheme fp8`, `--scheme w8a8`",
    ),
    "quantize.experts": Text(
        "the experts of this model are stored in a way that is not known here",
        "{tensor}: {shape}",
        "take one of the recipe's ready variants: `selfhost recipe show MODEL`",
    ),
    "quantize.dtype": Text(
        "a weight is of a type that is not quantized",
        "{tensor}: {dtype}",
        "take the model's own files in 16 bits",
    ),
    "quantize.merged_differ": Text(
        "what is left out splits matrices that the engine makes one of",
        "`{plain}` stays, `{quantized}` would not",
        "leave out both or neither",
    ),
    "quantize.nothing": Text(
        "there is nothing in it that would be quantized",
        "`{path}`",
        "is it a language model? `selfhost plan {path}` tells what it is taken for",
    ),
    "quantize.unlike_config": Text(
        "the weights of `{path}` are not those that its config.json tells of",
        "{detail}",
        "get the files of one model: `selfhost pull MODEL`, or compare them with where they came from",
    ),
    "quantize.not_fp8": Text(
        "there is no FP8 in it that could be made into 16 bits",
        "`{path}`",
        "serve it as it is",
    ),
    "quantize.no_weights": Text(
        "there are no weights in it",
        "`{path}`",
        "get them: `selfhost pull MODEL`; check them: `selfhost verify MODEL`",
    ),
    "quantize.unreadable": Text(
        "`{path}` cannot be read",
        "{detail}",
        "make it readable: `chmod a+r {path}`",
    ),
    "quantize.unwritable": Text(
        "`{path}` cannot be written, or what is read for it",
        "{detail}",
        "see whose it is and what file system it lies on: `ls -ld {path}`, `df {path}`; what was said: `{log}`",
    ),
    "quantize.broken_file": Text(
        "`{path}` is damaged",
        "{detail}",
        "check the source and put it right: `selfhost verify MODEL --repair`",
    ),
    "quantize.no_scale": Text(
        "an FP8 weight has no scale",
        "{tensor}; wanted: {wanted}",
        "files of the source are missing: `selfhost verify MODEL`",
    ),
    "quantize.scale_shape": Text(
        "the scales of an FP8 weight do not go with it",
        "{tensor}: {shape}, its scales {scale}",
        "check the source: `selfhost verify MODEL`",
    ),
    "quantize.not_finite": Text(
        "a weight of the source is no number",
        "{tensor} in `{path}`",
        "check the source: `selfhost verify MODEL`; if it is whole, its maker should know",
    ),
    "quantize.too_large": Text(
        "a weight is too large for `int8`",
        "{tensor} holds {value:g}; bitsandbytes takes float16, which ends at {most:g}",
        "take a scheme without such a limit: `--scheme w8a16`, `--scheme nf4`",
    ),
    "quantize.check_failed": Text(
        "what was written is not what was read back",
        "`{path}`: {detail}",
        "the disk may be failing: see `dmesg`; the same command makes that file again",
    ),
    "quantize.bad_result": Text(
        "the result is not what was asked for, and is not used",
        "`{path}`: {detail}",
        "run the same command again; if it happens again, the log beside that folder says what was done",
    ),
    "quantize.no_space": Text(
        "the disk is full",
        "`{path}`: {detail}",
        "make room (`selfhost gc`) and run the same command again; but with calibration what is finished is kept",
    ),
    "quantize.out_of_memory": Text(
        "the memory did not suffice",
        "{detail}",
        "fewer samples (`--samples 128`), `--device cpu` where the GPU is too small, or a scheme that needs no text",
    ),
    "quantize.no_package": Text(
        "the environment lacks a package: {package}",
        "{detail}",
        "make it anew: `selfhost engine remove quantize`, `selfhost engine install quantize`",
    ),
    "quantize.failed": Text(
        "the script that quantizes gave up",
        "{detail}",
        "what it said: `{log}`",
    ),
    "quantize.killed": Text(
        "the script that quantizes was killed, as the kernel does where memory runs out",
        "signal 9; what it said last: {detail}",
        "fewer samples (`--samples 128`), or a scheme that needs no text; what it said: `{log}`",
    ),
    "quantize.died": Text(
        "the script that quantizes ended without a word: {how}",
        "{detail}",
        "what it said: `{log}`; run the same command again: but with calibration it keeps what is finished",
    ),
    "quantize.too_much_lost": Text(
        "the variant lost too much",
        "mean KL divergence {kl:.4f}, at most {limit:g} was allowed; its files: `{path}`",
        "take a wider scheme (`--scheme w8a8`), or allow more: with another `--max-kl` nothing is made again",
    ),
}
