"""Files that are read, and those that are refused: nothing in them runs, grows or hides."""

from __future__ import annotations

import ast
import contextlib
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.errors import IntegrityError, SelfhostError, UsageError
from selfhost.messages import lookup
from selfhost.render import lint as package
from selfhost.render.lint import lint, rule_of
from selfhost.render.lint.command import commands, engine_of
from selfhost.render.lint.quantity import seconds, size
from selfhost.render.lint.read import read
from selfhost.render.lint.site import Beside
from selfhost.render.lint.units import parse
from tests.render.lint.lint_support import DIGEST, objects

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def site(files):
    return read(files, Beside())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  [1\n", "line 3"),
        ("{{ .Values.image }}: {{ x }}\n- y", "line"),
        ("services:\n  a: {image: x}\n  a: {image: y}\n", "line 3: `a` is there twice"),
        ("a: &a\n  b: *a\n", "an alias contains itself"),
        (BOMB, "more than 200000 values"),
        ("[" * 5000, "nested too deeply"),
        ("a: !!python/object/apply:os.system [id]\n", "python/object"),
        ("services: {a: {image: 2024-99-99}}\n", "month must be in 1..12"),
        ("a: \x00", "not allowed"),
    ],
)
def test_what_is_no_sound_yaml_is_refused_with_its_place(text, said):
    with pytest.raises(IntegrityError) as caught:
        lint({"a.yaml": text})
    assert said in caught.value.message.why


@pytest.mark.parametrize("text", ["", "# nothing\n", "a: 1\n", "- 1\n", "image: x\nreplicas: 2\n"])
def test_files_of_another_kind_are_not_passed_over_in_silence(text):
    with pytest.raises(UsageError):
        lint({"values.yaml": text})
    found = lint(objects() | {"values.yaml": text or "a: 1"})
    assert [finding.message.id for finding in found if not rule_of(finding)] == ["render_lint.not_known"] * (
        "#" not in text
    )


def test_a_line_of_a_unit_that_means_nothing_is_refused():
    for text in ("Image=x\n", "[Container]\nnonsense\n"):
        with pytest.raises(IntegrityError):
            parse("a.container", text)


def test_units_are_joined_over_lines_and_an_empty_value_takes_back():
    unit = parse("a.service", "[Service]\nExecStart=vllm \\\n  serve \\\n  # a comment\n  m\nA=1\nA=2\nA=\nA=3\n")
    assert unit.last("Service.ExecStart").split() == ["vllm", "serve", "m"]
    assert unit.all("Service.A") == ("3",)
    assert unit.document.where("Service.ExecStart") == "a.service:2: Service.ExecStart"


@pytest.mark.parametrize(
    ("text", "decimal", "wanted"),
    [("64m", False, 64 << 20), ("1.5g", False, 3 << 29), ("2Gi", True, 2 << 30), ("2G", True, 2 * 10**9),
     ("1e3", True, 1000), ("500", True, 500), ("", False, None), ("x", False, None), (True, False, None)],
)  # fmt: skip
def test_sizes(text, decimal, wanted):
    assert size(text, decimal=decimal) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("90", 90),
        ("1m30s", 90),
        ("1h", 3600),
        ("15min", 900),
        ("500ms", 0.5),
        ("infinity", None),
        ("", None),
        ("5x", None),
    ],
)
def test_durations(text, wanted):
    assert seconds(text) == wanted


def test_commands_of_a_script_are_told_apart():
    script = 'set -e; export A=1 && exec vllm serve /m \\\n  --port 8001 | tee log\necho "done; not"\n'
    found = commands(["/bin/bash", "-ec", script])
    assert ["exec", "vllm", "serve", "/m", "--port", "8001"] in found
    assert ["echo", "done; not"] in found


@pytest.mark.parametrize(
    ("image", "words", "model", "port"),
    [
        ("x", ["vllm", "serve", "/m", "--port", "9"], "/m", 9),
        ("x", ["/opt/bin/vllm", "serve", "--port=9", "/m"], "/m", 9),
        ("x", ["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "/m"], "/m", 8000),
        ("docker.io/vllm/vllm-openai:v0.32.0", ["--model", "org/m", "--port", "9"], "org/m", 9),
        ("vllm/vllm-openai", ["org/m", "--port", "9"], "org/m", 9),
        ("x", ["sh", "-c", "ulimit -l unlimited; vllm serve /m --port 9 > /log"], "/m", 9),
        ("x", ["sh", "-c", 'rm -rf /dev/shm/*; exec "$0" "$@"', "vllm", "serve", "/m", "--port", "9"], "/m", 9),
        ("x", ["sh", "-c", "vllm serve $1 --port $2", "--", "/m", "9"], "/m", 9),
        ("x", ["sh", "-c", "eval eval 'vllm serve /m' --port 9"], "/m", 9),
        ("x", ["sh", "-c", "vllm serve /m --port 9\necho 'over\ntwo lines'"], "/m", 9),
        ("localhost/selfhost-cpu:1", ["selfhost", "serve", "m", "--port", "9", "--", "--seed", "1"], "m", 9),
    ],
)
def test_engines_are_recognised(image, words, model, port):
    engine = engine_of(image, words)
    assert engine is not None
    assert (engine.model, engine.port, engine.unknown) == (model, port, ())


@pytest.mark.parametrize(
    "words", [[], ["nginx"], ["sh", "-c", "sleep 1"], ["python3", "-m", "http.server"], ["vllm", "bench"]]
)
def test_other_programs_are_no_engines(words):
    assert engine_of("docker.io/library/nginx", words) is None


def test_spellings_that_the_engine_takes_are_taken():
    engine = engine_of("x", ["vllm", "serve", "/m", "-tp", "2", "--pipeline_parallel_size=2", "-cc.mode", "0", "-O2"])
    assert engine is not None
    assert (engine.ranks_here, engine.unknown) == (4, ())
    engine = engine_of("x", ["vllm", "serve", "/m", "--max-num-seq", "2", "--max-num", "2"])
    assert engine is not None
    assert (engine.shortened, engine.unknown) == ((("--max-num-seq", "--max-num-seqs"),), ("--max-num",))


@pytest.mark.parametrize(
    ("flags", "here"),
    [
        ("-tp 8", 8),
        ("-tp 8 -pp 2 --nnodes 2", 8),
        ("-tp 2 -dp 8 --data-parallel-size-local 4", 8),
        ("-tp 8 -pp 2 --distributed-executor-backend ray", None),
        ("-tp $(TP)", None),
    ],
)
def test_devices_of_a_node(flags, here):
    engine = engine_of("x", ["vllm", "serve", "/m", *flags.split()])
    assert engine is not None
    assert engine.ranks_here == here


def test_variables_of_compose_come_from_the_file_beside_it():
    files = {
        "d/compose.yaml": (
            "services:\n  a:\n    image: ${IMAGE:-x:1}\n    environment: {B: '$$${C}', HF_TOKEN: '${D}'}\n"
        )
    }
    assert site(files).containers[0].image == "x:1"
    files["d/.env"] = f"IMAGE=y{DIGEST}\nC=c\nD=secret\n"
    container = site(files).containers[0]
    assert (container.image, container.env) == (f"y{DIGEST}", {"B": "$c", "HF_TOKEN": "${D}"})


def test_pods_are_found_in_any_object_with_their_lines():
    text = (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: serving.kserve.io/v1alpha1\n  kind: LLMInferenceService\n"
        "  spec:\n    worker:\n      containers:\n      - name: main\n        image: a:1\n"
    )
    (finding,) = lint({"a.yaml": text})
    assert finding.where == "a.yaml:10: items[0].spec.worker.containers[0].image"


WORDS = (
    "",
    "vllm",
    "serve",
    "/models/m",
    "8000:8000",
    "sh",
    "-c",
    "eval vllm serve x -tp",
    "${A:-b}",
    "a:b:ro",
    "1m",
    "-",
)


def said_by_rules():
    """(where, id, names of the values) of each finding that is made."""
    for path in sorted(Path(package.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"error", "warning", "note"}:
                yield f"{path.name}:{node.lineno}", node.args[1].value, {word.arg for word in node.keywords}


@pytest.mark.parametrize(("where", "message_id", "given"), list(said_by_rules()))
def test_each_finding_has_the_values_that_its_sentences_name(where, message_id, given):
    needed = {name for template in lookup(message_id) for _, name, _, _ in string.Formatter().parse(template) if name}
    assert needed <= given, where


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS)
NAMES = (
    *(
        "image",
        "command",
        "args",
        "entrypoint",
        "environment",
        "env",
        "ports",
        "volumes",
        "healthcheck",
        "test",
        "deploy",
    ),
    *(
        "containers",
        "initContainers",
        "spec",
        "template",
        "metadata",
        "labels",
        "name",
        "value",
        "volumeMounts",
        "env_file",
    ),
    *("mountPath", "resources", "limits", "nvidia.com/gpu", "memory", "livenessProbe", "httpGet", "path", "exec", "x"),
    *(
        "lifecycle",
        "preStop",
        "sleep",
        "selector",
        "targetPort",
        "port",
        "emptyDir",
        "tmpfs",
        "devices",
        "reservations",
    ),
)
KEYS = st.sampled_from(NAMES)
TREES = st.recursive(
    LEAVES, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=5), max_leaves=40
)


@settings(max_examples=150, deadline=None)
@given(
    tree=TREES,
    kind=st.sampled_from(["Deployment", "Service", "NetworkPolicy", "Secret", "ConfigMap", "PrometheusRule"]),
)
def test_nothing_a_file_says_is_a_failure_of_ours(tree, kind):
    said = []
    for document in (
        {"services": {"a": tree}, "configs": tree},
        {"apiVersion": "v1", "kind": kind, "metadata": tree, "spec": tree, "data": tree},
        {"groups": [tree]},
        tree,
    ):
        try:
            said += [finding.as_dict()["problem"] for finding in lint({"a.yaml": yaml.safe_dump(document)})]
        except SelfhostError as error:
            said.append(error.message.what)
    assert all(said)


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.sampled_from("[]\\\n= abC;#%$'\"{}/:-0\t\x00é"), max_size=120),
    name=st.sampled_from(["a.container", "a.service", "a.conf"]),
)
def test_nor_what_a_unit_says(text, name):
    found = []
    with contextlib.suppress(IntegrityError):
        found = lint({name: f"[Container]\nImage=x\nExec={text}\n[Service]\nExecStart={text}\n"})
    assert all(finding.as_dict()["problem"] for finding in found)
