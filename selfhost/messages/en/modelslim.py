"""Messages about weights that msModelSlim made."""

from selfhost.messages import Text

MESSAGES = {
    "modelslim.absent": Text(
        "{count} tensors are described and not in the files",
        "{names}",
        "the run was not finished, or a file was not copied: copy it again, or run msModelSlim again",
    ),
    "modelslim.undescribed": Text(
        "{count} tensors are in the files and not described",
        "{names}",
        "the description is of another run: take the `quant_model_description.json` that came with these files",
    ),
    "modelslim.unknown_type": Text(
        "{count} tensors are of the type `{kind}`, which vllm-ascend has no code for",
        "{names}; known: {known}",
        "quantize again with another `--quant_type`: w8a8, w4a8",
    ),
    "modelslim.no_scale": Text(
        "{count} tensors that a quantized matrix needs are not in the files",
        "{names}",
        "run msModelSlim again: without them the engine stops while it loads",
    ),
    "modelslim.dtype": Text(
        "{count} matrices are not stored as their type says",
        "{names}",
        "description and files are of different runs: take both from one",
    ),
    "modelslim.differ": Text(
        "{count} matrices that the engine merges are of different types",
        "{names}",
        "give them one type: in the YAML that msModelSlim takes, exclude all of them or none",
    ),
    "modelslim.other_method": Text(
        "config.json still says that the weights are {method}",
        "msModelSlim copies the section of the source; the engine would read int8 as {method}",
        "take `quantization_config` out of config.json",
    ),
    "modelslim.architectures": Text(
        "`architectures` in config.json is no list",
        "found: {found}",
        'write it as the source has it: `"architectures": ["DeepseekV3ForCausalLM"]`',
    ),
    "modelslim.no_description": Text(
        "`{path}` has no `quant_model_description.json`",
        "msModelSlim writes it beside the weights; by it the engine knows what they are",
        "name the directory that was its `--save_path`",
    ),
    "modelslim.sound": Text("{path}: whole, {modules} matrices: {counts}"),
}
