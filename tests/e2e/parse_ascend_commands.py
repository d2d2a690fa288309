"""What the parser of the vLLM that vllm-ascend is a plugin of makes of command lines: errors, one line for each.

`ENGINE_PYTHON parse_ascend_commands.py < COMMANDS > ERRORS`: COMMANDS is a JSON list of argvs that begin with `vllm`,
ERRORS one of what was refused. The plugin adds its method of quantization to the parser (platform.py
`pre_register_and_update`), and cannot be imported without an NPU.
"""

from __future__ import annotations

import json
import os
import sys


def refused(parser, argvs: list[list[str]]) -> list[str]:
    """Command lines that the parser ends the process for."""
    found = []
    for argv in argvs:
        try:
            parser.parse_args(argv[1:])
        except (SystemExit, Exception):  # noqa: BLE001 - whatever the engine says
            found.append(" ".join(argv))
    return found


if __name__ == "__main__":
    # The engine logs to stdout.
    stdout = os.dup(1)
    os.dup2(2, 1)
    os.environ["VLLM_PLUGINS"] = ""
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    PARSER = FlexibleArgumentParser()
    SERVE = ServeSubcommand().subparser_init(PARSER.add_subparsers(dest="command"))
    CHOICES = SERVE._option_string_actions["--quantization"].choices
    if CHOICES is not None and "ascend" not in CHOICES:
        CHOICES.append("ascend")
    os.write(stdout, json.dumps(refused(PARSER, json.load(sys.stdin))).encode())
