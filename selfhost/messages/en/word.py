"""Words that are English in `--json` and in records, as people read them: see `messages.word`."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    # Where nothing is to be listed.
    "word.none": Text("none"),
    "word.nothing": Text("nothing"),
    # Verdicts, and what figures rest on.
    "word.fits": Text("fits"),
    "word.tight": Text("tight"),
    "word.does_not_fit": Text("does_not_fit"),
    "word.not_fitting": Text("does not fit"),
    "word.unsupported": Text("unsupported"),
    "word.out": Text("out"),
    "word.measured": Text("measured"),
    "word.calibrated": Text("calibrated"),
    "word.derived": Text("derived"),
    # Memory of a rank.
    "word.weights": Text("weights"),
    "word.buffers": Text("buffers"),
    "word.activation": Text("activation"),
    "word.non_torch": Text("non-torch"),
    "word.cuda_graphs": Text("CUDA graphs"),
    "word.npu_graphs": Text("NPU graphs"),
    "word.kv_cache": Text("KV cache"),
    "word.budget": Text("budget"),
    # How bad a finding is.
    "word.error": Text("error"),
    "word.warning": Text("warning"),
    "word.note": Text("note"),
    # States of servers, of models.
    "word.ready": Text("ready"),
    "word.starting": Text("starting"),
    "word.stopping": Text("stopping"),
    "word.restarting": Text("restarting"),
    "word.stopped": Text("stopped"),
    "word.failed": Text("failed"),
    "word.orphaned": Text("orphaned"),
    "word.dead": Text("dead"),
    "word.whole": Text("whole"),
    "word.damaged": Text("damaged"),
    "word.unlocked": Text("unlocked"),
    # Heads of tables.
    "word.head_name": Text("NAME"),
    "word.head_model": Text("MODEL"),
    "word.head_state": Text("STATE"),
    "word.head_pid": Text("PID"),
    "word.head_devices": Text("DEVICES"),
    "word.head_url": Text("URL"),
    "word.head_uptime": Text("UPTIME"),
    "word.head_restarts": Text("RESTARTS"),
    "word.head_variant": Text("VARIANT"),
    "word.head_size": Text("SIZE"),
    "word.head_unique": Text("UNIQUE"),
    "word.head_files": Text("FILES"),
    "word.head_source": Text("SOURCE"),
    "word.head_revision": Text("REVISION"),
    "word.head_parameters": Text("PARAMETERS"),
    "word.head_context": Text("CONTEXT"),
    "word.head_variants": Text("VARIANTS"),
    "word.head_licence": Text("LICENCE"),
    "word.head_verdict": Text("VERDICT"),
    "word.head_layout": Text("LAYOUT"),
    "word.head_requests": Text("REQUESTS"),
    "word.head_tokens": Text("TOKENS"),
}
