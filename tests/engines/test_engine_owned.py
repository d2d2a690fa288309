"""What may be given after `--`: owned options are refused by name however they are spelt, settings become settings."""

from __future__ import annotations

import pytest

from selfhost.engines import known, owned
from selfhost.errors import ExitCode, TrustError, UsageError
from selfhost.planner.plan import PlanRequest


def absorb(*words: str, **settings) -> PlanRequest:
    return owned.absorb(PlanRequest(engine_args=words, **settings), known.load("vllm"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--host", "0.0.0.0"), "owned.own_option"),
        (("--port=9000",), "owned.own_option"),
        (("--uds", "/tmp/s"), "owned.listening"),
        (("--root-path", "/x"), "owned.listening"),
        (("--ssl-keyfile", "k.pem"), "owned.tls"),
        (("--ssl-ca-certs", "ca.pem"), "owned.tls_clients"),
        (("--ssl_keyfile", "k.pem"), "owned.tls"),
        (("--api-key", "secret"), "owned.keys"),
        (("--api_key=secret",), "owned.keys"),
        (("--middleware", "a.B"), "owned.keys"),
        (("--hf-token", "t"), "owned.keys"),
        (("--grpc",), "owned.front_end"),
        (("--headless",), "owned.front_end"),
        (("-asc", "2"), "owned.front_end"),
        (("--api-server-count", "2"), "owned.front_end"),
        (("--no-disable-fastapi-docs",), "owned.front_end"),
        (("--config", "f.yaml"), "owned.config_file"),
        (("--model", "other"), "owned.part_of_plan"),
        (("--dtype", "float32"), "owned.format"),
        (("-q", "fp8"), "owned.format"),
        (("--nnodes", "2"), "owned.part_of_plan"),
        (("--prefill-context-parallel-size", "2"), "owned.layout"),
        (("-pcp", "2"), "owned.layout"),
        (("--master-addr", "10.0.0.1"), "owned.part_of_plan"),
        (("--data-parallel-address", "10.0.0.1"), "owned.part_of_plan"),
        (("--seed", "1", "--kv-cache-memory-bytes", "1G"), "owned.part_of_plan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_owned_options_are_refused_by_name(words, message):
    with pytest.raises(UsageError) as caught:
        absorb(*words)
    assert caught.value.message.id == message
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.message.why
    named = caught.value.message.params["flag"]
    assert str(named) in caught.value.message.what


@pytest.mark.parametrize("word", ["--trust-remote-code", "--trust_remote_code"])
def test_code_of_a_model_is_not_run(word):
    with pytest.raises(TrustError) as caught:
        absorb("--seed", "1", word)
    assert (caught.value.message.id, caught.value.code) == ("owned.remote_code", ExitCode.TRUST)
    assert absorb("--no-trust-remote-code").engine_args == ("--no-trust-remote-code",)


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("--midd", None),
        ("--max-model-lenn", "--max-model-len"),
        ("--task", None),
        ("--tensor-paralel-size", "--tensor-parallel-size"),
        ("-tp2", "-tp"),
    ],
)
def test_unknown_and_abbreviated_options_are_refused_with_the_nearest(word, nearest):
    with pytest.raises(UsageError) as caught:
        absorb(word, "1")
    assert caught.value.message.id == "owned.unknown"
    assert caught.value.message.what == f"vllm 0.32.0 has no option `{word}`"
    if nearest:
        assert f"`{nearest}`" in caught.value.message.why


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("extra",), "owned.not_an_option"),
        (("--seed", "1", "2"), "owned.not_an_option"),
        (("--seed",), "owned.value_missing"),
        (("--seed", "--enable-prefix-caching"), "owned.value_missing"),
        (("--load-format.x",), "owned.value_missing"),
        (("--enforce-eager.x", "1"), "owned.unknown"),
        (("--linear-backend", "abacus"), "owned.choice"),
        (("--max-num-seqs", "many"), "owned.not_a_number"),
        (("--served-model-name", "a", "b"), "owned.one_value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_malformed_options_are_refused(words, message):
    with pytest.raises(UsageError) as caught:
        absorb(*words)
    assert caught.value.message.id == message


@pytest.mark.parametrize(
    "words",
    [
        ("--seed", "1"),
        ("--speculative-config", '{"method":"mtp","num_speculative_tokens":1}'),
        ("--compilation-config.mode", "3"),
        ("--allowed-media-domains", "a.example", "b.example"),
        ("--enable-prefix-caching",),
        ("-O3",),
        ("-O", "3"),
        ("--block-size=32", "--no-enable-prefix-caching"),
        ("--long-prefill-token-threshold", "-1"),
    ],
    ids=" ".join,
)
def test_everything_else_goes_to_the_engine_as_it_is(words):
    assert absorb(*words) == PlanRequest(engine_args=words)


def test_settings_become_settings():
    words = ("-tp", "4", "--max_num_seqs=8", "--enforce-eager", "--seed", "1", "--gpu-memory-utilization", ".9")
    assert absorb(*words) == PlanRequest(
        tensor_parallel_size=4,
        max_num_seqs=8,
        enforce_eager=True,
        gpu_memory_utilization=0.9,
        engine_args=("--seed", "1"),
    )


@pytest.mark.parametrize(
    ("given", "length", "auto"),
    [("32768", 32768, False), ("32k", 32000, False), ("32K", 32768, False), ("-1", None, True), ("auto", None, True)],
)
def test_a_context_length_is_read_as_the_engine_reads_it(given, length, auto):
    request = absorb("--max-model-len", given)
    assert (request.max_model_len, request.auto_max_model_len) == (length, auto)


def test_a_setting_given_twice_must_agree():
    assert absorb("--max-num-seqs", "8", max_num_seqs=8).max_num_seqs == 8
    with pytest.raises(UsageError) as caught:
        absorb("--max-num-seqs", "8", max_num_seqs=16)
    assert caught.value.message.what == "`--max-num-seqs` is given twice: 16 and 8"


def test_owned_variables_are_named():
    found = owned.variable_warnings({"VLLM_API_KEY": "x", "PATH": "/bin", "VLLM_CPU_KVCACHE_SPACE": "4"})
    assert sorted(found) == ["VLLM_API_KEY", "VLLM_CPU_KVCACHE_SPACE"]
    assert "VLLM_API_KEY" in found["VLLM_API_KEY"].what
    assert "x" not in found["VLLM_API_KEY"].params.values()


@pytest.mark.parametrize("words", [("--load-format", "pt"), ("--load-format=npcache",), ("--load_format", "pt")])
def test_pickle_weights_are_a_matter_of_trust(words):
    with pytest.raises(TrustError) as caught:
        absorb(*words)
    assert (caught.value.message.id, caught.value.code) == ("owned.pickle", ExitCode.TRUST)
