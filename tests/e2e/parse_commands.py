"""What the engine's own parser makes of command lines: `ENGINE_PYTHON parse_commands.py < COMMANDS > RESULTS`.

COMMANDS is a JSON list of the words after `vllm serve`; RESULTS has for each what was asked to be parallel, or `error`.
"""

from __future__ import annotations

import json
import os
import sys

import selfhost_launch  # noqa: F401 - the CPU engine is found under the name of vllm

WANTED = (
    *("model_tag", "host", "port", "headless", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
    *("nnodes", "node_rank", "master_addr", "data_parallel_address", "data_parallel_start_rank"),
)


TEMPLATE = os.path.join(os.path.dirname(__file__), "../data/render/models/chat.jinja")  # noqa: PTH118, PTH120
"""The parser opens it, and the place that a command names is on the machines only."""


def parsed(words: list[str]) -> dict:
    """The values of one command line."""
    try:
        args = PARSER.parse_args([TEMPLATE if word.endswith("templates/chat.jinja") else word for word in words])
        validate_parsed_serve_args(args)
    except (SystemExit, Exception) as error:  # noqa: BLE001 - whatever the engine says
        return {"error": str(error)}
    return {name: getattr(args, name) for name in WANTED}


if __name__ == "__main__":
    # The engine logs to stdout.
    stdout = os.dup(1)
    os.dup2(2, 1)
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    PARSER = make_arg_parser(FlexibleArgumentParser())
    os.write(stdout, json.dumps([parsed(words) for words in json.load(sys.stdin)]).encode())
