"""Commands of the stock engine in rendered files, as what reads the files starts them: words after `vllm serve`."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import yaml

from tests.render import golden
from tests.render.kubernetes import plans
from tests.render.kubernetes.running import run_pod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST_NODE = "10.0.0.1"
"""What stands where files name a variable with the first node's address."""


def systemd_words(text: str) -> list[str]:
    """As systemd takes a command line apart, for the forms that are rendered."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(text)]


def _value(text: str, key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def of_compose(text: str) -> Iterator[list[str]]:
    """Of a compose file."""
    engine = yaml.safe_load(text)["services"]["engine"]
    yield [*engine["entrypoint"], *(word.replace("$$", "$") for word in engine["command"])]


def of_quadlet(text: str) -> Iterator[list[str]]:
    """Of a `.container`."""
    yield [_value(text, "Entrypoint"), *systemd_words(_value(text, "Exec"))]


def of_systemd(text: str) -> Iterator[list[str]]:
    """Of a `.service`, without the variables before its program."""
    words = systemd_words(_value(text, "ExecStart"))
    place = next((place for place, word in enumerate(words) if word.endswith("/vllm")), None)
    yield words if place is None else ["vllm", *words[place + 1 :]]


def of_leaving(text: str) -> Iterator[list[str]]:
    """Of `LEAVING.md`, one for each node."""
    for found in re.findall(r"^vllm serve (?:.*\\\n)*.*$", text, re.MULTILINE):
        yield shlex.split(found.replace("\\\n", ""))


READERS = {"compose.yaml": of_compose, ".container": of_quadlet, ".service": of_systemd, "LEAVING.md": of_leaving}


def of_machines() -> dict[str, list[str]]:
    """Of the golden files for machines: `deepseek-v3-2x8xh20/quadlet/node1` -> words after `vllm serve`."""
    found = {}
    for plan in golden.PLANS:
        for target in golden.TARGETS:
            for path, text in golden.files(golden.DATA / plan / target).items():
                for place, words in enumerate(_read(path, text)):
                    node = place if path == "LEAVING.md" else int(path.startswith("node1/"))
                    where = "leaving" if path == "LEAVING.md" else target
                    found[f"{plan}/{where}/node{node}"] = words
    return found


def of_clusters(folder: Path) -> dict[str, list[str]]:
    """The same of the files for Kubernetes, whose shell runs in a folder."""
    found = {}
    for case in plans.CASES:
        for node in plans.deployment(case).nodes:
            words, _ = run_pod(plans.pods(case)["worker" if node.headless else "leader"], node.number, folder)
            found |= {f"kubernetes/{case}/node{node.number}": made for made in _stock(words)}
        for number, words in enumerate(of_leaving(plans.rendered(case)["LEAVING.md"])):
            found |= {f"kubernetes/{case}/leaving/node{number}": made for made in _stock(words)}
    return found


def _read(path: str, text: str) -> Iterator[list[str]]:
    for ending, reader in READERS.items():
        if path.endswith(ending) and "-gateway." not in path:
            for words in reader(text):
                yield from _stock(words)


def _stock(words: list[str]) -> Iterator[list[str]]:
    """What stands after `vllm serve`; nothing for `selfhost serve`, whose command is made where it runs."""
    if words[:2] == ["vllm", "serve"]:
        yield [re.sub(r"^\$(?:FIRST_NODE|\{FIRST_NODE[^}]*\})$", FIRST_NODE, word) for word in words[2:]]
