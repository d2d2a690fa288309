"""Messages about what a model is: its config, its formats, its tensors, the layouts it allows."""

from selfhost.messages import Text

MESSAGES = {
    "arch.bad_config": Text(
        "the config of this `{architecture}` cannot be understood",
        "{problems}",
        "compare `config.json` with the one in the model's repository; the download may be incomplete or edited",
    ),
    "arch.no_architecture": Text(
        "the config names no architecture",
        "wanted: `architectures`: a list with one class name; found: {found}",
        "compare `config.json` with the one in the model's repository",
    ),
    "arch.unsupported": Text(
        "architecture `{architecture}` is not supported",
        "nearest known: {nearest}",
        "`selfhost recipe ls` lists what can be served; with a newer selfhost the list may be longer",
    ),
    "arch.unsupported_files": Text(
        "architecture `{architecture}` is not supported",
        "nearest known: {nearest}; its files hold {total} of weights",
        "`selfhost recipe ls` lists what can be served; with a newer selfhost the list may be longer",
    ),
    "arch.key_missing": Text("`{key}` is missing"),
    "arch.bad_value": Text("`{key}` is {found}; expected {expected}"),
    "arch.bad_quantization": Text(
        "the quantization of this model cannot be understood",
        "{detail}",
        "compare `quantization_config` in `config.json` with the one in the model's repository",
    ),
    "arch.quantization_unknown": Text(
        "quantization method `{method}` is not known",
        "nearest known: {nearest}",
        "serve another variant of the model: `selfhost recipe ls`",
    ),
    "arch.quantization_unsized": Text(
        "quantization method `{method}` cannot be sized here",
        "the engine has it; selfhost has no figures for the memory it takes",
        "serve another variant of the model: `selfhost recipe ls`",
    ),
    "arch.compressed_unknown": Text(
        "a format of this model is not known: {detail}",
        "neither the engine nor selfhost has one like it among those of compressed-tensors",
        "serve another variant of the model: `selfhost recipe ls`",
    ),
    "arch.mixed_windows": Text(
        "the config gives {layers} of {count} layers a sliding window",
        "the engine runs models of this class only with a window in all layers or in none",
        "set `use_sliding_window` to false in `config.json`: texts longer than the window then take more memory",
    ),
    "arch.shards_differ": Text(
        "the checkpoint quantizes some of the matrices in `{module}` and not the others",
        "the engine merges them into one, which has one format",
        "serve another variant of the model, or compare `quantization_config` with the one in the model's repository",
    ),
    "arch.format_cpu_bits": Text(
        "the CPU engine has kernels for whole numbers of 4 bits, not of {bits}",
    ),
    "arch.format_cpu": Text("weights in {format} need FP8 kernels, which the CPU engine has only with AMX"),
    "arch.format_ascend": Text(
        "weights in {format} do not run on {device}: it takes bf16, and W8A8 or W4A8 made for it"
    ),
    "arch.format_ascend_small": Text(
        "weights in {format} do not run on {device}: it takes 16-bit floats, and W8A8 made for it"
    ),
    "arch.format_310p": Text("weights of type {types} do not run on {device}: it takes W8A8 and 16-bit floats"),
    "arch.format_ascend_experts": Text(
        "weights in {format} do not run on {device}: vllm-ascend has 4-bit kernels for experts only"
    ),
    "arch.format_ascend_v4": Text(
        "weights in {format} do not run on {device}: vllm-ascend 0.23 takes this kind of FP8 for DeepSeek-V4 only"
    ),
    "arch.format_only_ascend": Text("weights made by msModelSlim run on Ascend only, not on {device}"),
    "arch.format_capability": Text(
        "weights in {format} do not run on {device}: compute capability {found}, needed: {wanted}"
    ),
    "arch.format_int8": Text(
        "weights in {format} do not run on {device}: compute capability {found}, INT8 kernels end below 10.0"
    ),
    "arch.format_only": Text(
        "weights in {format} do not run on {device}: compute capability {found}, their kernels are for {only} alone"
    ),
    "arch.format_order": Text(
        "{method} with groups of inputs in another order (`desc_act`, `actorder`): the engine no longer runs it"
    ),
    "arch.format_asymmetric": Text("{method} with zero points (`sym` false): the engine does not run it"),
    "arch.format_bits": Text("{method} with {bits} bits: the engine runs {known}"),
    "arch.layout_refined": Text(
        "`{part}`: {width} per rank needs finer FP8 blocks, which experts have only from compute capability 8.9 on"
    ),
    "arch.experts_w4a8": Text("experts of 4-bit integers with 8-bit activations: the engine runs them on CPUs alone"),
    "arch.experts_channels": Text(
        "experts of integers with one scale per output have no kernel on compute capability 9"
    ),
    "arch.experts_w4a8_width": Text(
        "experts of {width} per rank and hidden size {hidden}: kernels of W4A8 take multiples of 256"
    ),
    "arch.experts_nvfp4_width": Text("experts of {width} per rank: kernels of NVFP4 take multiples of 64 here"),
    "arch.layout_bitsandbytes": Text(
        "weights that bitsandbytes quantized beforehand cannot be divided over {tp} ranks: only stages can"
    ),
    "arch.layout_heads": Text("{heads} attention heads cannot be divided by tensor parallel size {tp}"),
    "arch.layout_kv_heads": Text("{heads} KV heads and tensor parallel size {tp}: one must divide the other"),
    "arch.layout_linear_heads": Text(
        "{heads} key heads of the linear attention cannot be divided by tensor parallel size {tp}"
    ),
    "arch.layout_vision_heads": Text(
        "{heads} heads of the vision tower cannot be divided by tensor parallel size {tp}; "
        "`--mm-encoder-tp-mode data` leaves it whole on every rank"
    ),
    "arch.layout_deepstack": Text(
        "with {pp} pipeline stages the first has fewer layers than the {levels} that the vision tower reaches into"
    ),
    "arch.layout_draft_stages": Text(
        "the layers of multi-token prediction of this model do not run with {pp} pipeline stages: the engine expects"
        " their input from the stage before"
    ),
    "arch.layout_tied_stages": Text(
        "with {pp} pipeline stages the engine does not start this model: its head is the embedding, and its class looks"
        " for that on every stage"
    ),
    "arch.layout_groups": Text("{groups} groups of output heads cannot be divided by tensor parallel size {tp}"),
    "arch.layout_vocab": Text("the vocabulary padded to {rows} rows cannot be divided by tensor parallel size {tp}"),
    "arch.layout_width": Text("{part} {width} cannot be divided by {ranks} ranks"),
    "arch.layout_block": Text("{part}: {width} per rank is not a multiple of the quantization block {block}"),
    "arch.layout_group": Text("{part}: {width} inputs per rank are not whole quantization groups of {group}"),
    "arch.layout_experts": Text("tensor parallel size {tp} is larger than the number of experts {experts}"),
    "arch.layout_expert_parallel": Text("expert parallel needs a mixture-of-experts model; this one has no experts"),
    "arch.layout_dcp_divides": Text("decode context parallel size {dcp} does not divide tensor parallel size {tp}"),
    "arch.layout_dcp_windows": Text("decode context parallel does not work with windows and compressed attention"),
    "arch.layout_dcp_heads": Text(
        "decode context parallel size {dcp} at tensor parallel size {tp}: {heads} KV heads of {queries} queries each "
        "leave at most {tp} // {heads} ranks with the same head, and it must divide the queries"
    ),
    "arch.layout_stages": Text("{layers} layers cannot be spread over {pp} pipeline stages"),
    "arch.header": Text(
        "`{file}` is not a whole safetensors file",
        "{detail}",
        "fetch the file again; its size on disk is {size} bytes",
    ),
    "arch.index_files": Text(
        "the index names files that are not there",
        "missing: {files}",
        "fetch the missing files, or the whole model again",
    ),
    "arch.index_tensors": Text(
        "the index and the files do not agree",
        "{detail}",
        "fetch the model again: index and files are of different versions",
    ),
    "arch.files_layers_missing": Text(
        "the config has {config} layers, the files hold {found} of them",
        "missing: {missing}",
        "download the missing files; or the config belongs to another model",
    ),
    "arch.files_layers_more": Text(
        "the config has {config} layers, the files hold {found}",
        "the engine would load the first {config}",
        "compare `num_hidden_layers` in `config.json` with the one in the model's repository",
    ),
    "arch.files_experts": Text(
        "the config has {config} experts in a layer, the files hold {found}",
        "the engine would not find its experts, or leave some out",
        "compare the number of experts in `config.json` with the one in the model's repository",
    ),
    "arch.files_shape": Text(
        "`{name}` is {found} in the files, the config leads to {wanted}",
        "the engine cannot load a tensor of another shape",
        "compare `config.json` with the one in the model's repository",
    ),
    "arch.files_shapes_more": Text("{count} more tensors have other shapes than the config leads to"),
    "arch.files_no_head": Text(
        "the files hold no `lm_head`, and the config does not tie it to the embedding",
        "`tie_word_embeddings` is false or absent",
        "set `tie_word_embeddings` as in the model's repository; or a file is missing",
    ),
    "arch.files_quantized": Text(
        "the files hold quantized weights, the config has no `quantization_config`",
        "{count} tensors, among them `{name}`",
        "download `config.json` again from the repository of the quantized model",
    ),
    "arch.files_not_quantized": Text(
        "the config is of weights quantized with `{method}`, the files hold none",
        "all tensors are whole numbers of the model's own dtype",
        "download the config and the files of the same repository",
    ),
    "arch.files_dtype": Text(
        "the files hold {found}, the config says {config}: the engine converts on loading",
        "`{name}`",
    ),
    "arch.files_total": Text(
        "the files hold {found} of tensors, the config leads to {config}",
        "something is there that the config does not tell, or is missing",
        "compare `config.json` with the one in the model's repository",
    ),
}
