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
    "arch.layout_heads": Text("{heads} attention heads cannot be divided by tensor parallel size {tp}"),
    "arch.layout_kv_heads": Text("{heads} KV heads and tensor parallel size {tp}: one must divide the other"),
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
}
