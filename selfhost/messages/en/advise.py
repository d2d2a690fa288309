"""Messages of `selfhost quantize --advise`."""

from selfhost.messages import Text

MESSAGES = {
    # What is out
    "advise.plain_already": Text("the model is in 16 bits already"),
    "advise.quantized_already": Text(
        "the model is published quantized, and not in FP8: what it lost does not come back"
    ),
    "advise.fp8_already": Text("the model is published in FP8 already"),
    "advise.ascend_own_tool": Text("on Ascend weights are made by msModelSlim, see below"),
    "advise.modelslim_unknown": Text("msModelSlim has no published description of {kind} for {name}"),
    # What should be known
    "advise.note_fp8": Text("needs no text; FP8 arithmetic, scales of activations while it serves"),
    "advise.note_fp8_weights": Text("needs no text; this GPU has no FP8 arithmetic: weights are widened (Marlin)"),
    "advise.note_w8a8": Text("INT8 arithmetic; wants calibration text"),
    "advise.note_w8a8_beside_fp8": Text("INT8 arithmetic; FP8 is as fast here, loses less and needs no text"),
    "advise.note_w8a16": Text("needs no text; weights of 8 bits, arithmetic in 16"),
    "advise.note_w4a16": Text("weights of 4 bits, arithmetic in 16; wants calibration text, and its loss looked at"),
    "advise.note_bnb": Text("needs no text and a minute; slower to serve than all others: for a quick fit"),
    "advise.note_bf16": Text("for devices without FP8, and for what wants 16 bits to start from"),
    "advise.note_modelslim": Text(
        "runs on NPUs of {memory} GiB and more, in CANN's environment (CANN 9.1, torch_npu{pinned})"
    ),
    "advise.note_modelslim_bf16": Text("; wants 16 bits: `selfhost quantize MODEL --scheme bf16` first"),
    # The answer
    "advise.serve_own": Text("{model} on {hardware}: serve {name} as it is, nothing has to be made"),
    "advise.take_ready": Text("{model} on {hardware}: take the ready variant {name}"),
    "advise.make": Text("{model} on {hardware}: make {name}"),
    "advise.make_modelslim": Text("{model} on {hardware}: make {name} with msModelSlim"),
    "advise.shorter": Text(
        "{model} on {hardware}: nothing holds the whole context; {name} holds {length} tokens of it"
    ),
    "advise.own_shorter": Text("{name}, which loses less, holds {length} of {whole} tokens"),
    "advise.nothing": Text("{model} on {hardware}: nothing fits"),
    "advise.larger": Text("the fewest that would do: {hardware}, with {name}"),
    "advise.no_larger": Text("nor on 32 of them"),
    "advise.kind_ready": Text("ready {name}"),
    "advise.kind_make": Text("make {name}"),
    "advise.kind_modelslim": Text("modelslim {name}"),
    "advise.head_way": Text("WAY"),
    "advise.head_verdict": Text("VERDICT"),
    "advise.head_weights": Text("WEIGHTS/RANK"),
    "advise.head_kv": Text("LEFT FOR KV"),
    "advise.head_context": Text("CONTEXT"),
    "advise.head_layout": Text("LAYOUT"),
    "advise.head_time": Text("TIME"),
    "advise.head_memory": Text("RAM"),
    "advise.head_disk": Text("DISK"),
    "advise.arithmetic": Text("Arithmetic (derived, not measured; disk {disk} GB/s, {share} % of {flops} TFLOPS):"),
    "advise.arithmetic_plain": Text("Arithmetic (derived, not measured; disk {disk} GB/s):"),
    "advise.term_fit": Text(
        "{name}: per rank {budget} = weights {weights} + activations {activations} + other {other} + KV cache {kv}; "
        "one request of {length} tokens takes {request}"
    ),
    "advise.term_time": Text("time {time} = {terms}"),
    "advise.term_memory": Text("RAM {memory} = {terms}"),
    "advise.term_disk": Text("disk {disk} = result {output}{first}"),
    "advise.term_disk_first": Text(" + its copy in 16 bits {first}, which is not kept"),
    "advise.why": Text("Why the others are not it:"),
    "advise.why_line": Text("{name}: {why}"),
    "advise.note_line": Text("{name}: {note}"),
    "advise.how": Text("How:"),
}
