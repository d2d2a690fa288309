"""Planted secrets do not leave; what helps to find a fault does."""

from __future__ import annotations

import json
import re

import pytest

from selfhost.doctor.excerpt import excerpt
from selfhost.doctor.redact import Redactor


def redactor(**more) -> Redactor:
    given = {
        "secrets": ["correct-horse-battery"],
        "users": ["liwei"],
        "homes": ["/home/liwei", "/data/people/liwei"],
        "hosts": ["gpu-node-17"],
    }
    return Redactor(**{**given, **more})


# (what stands there, what must not leave)
PLANTED = [
    ("key correct-horse-battery in a line", "correct-horse-battery"),
    ("Authorization: Bearer abcdef123456XYZ==", "abcdef123456XYZ"),
    ("curl -H 'Authorization: Basic dXNlcjpwYXNz' x", "dXNlcjpwYXNz"),
    ("using sk-selfhost-Zm9vYmFyYmF6cXV4 here", "Zm9vYmFyYmF6cXV4"),
    ("token hf_AbCdEfGhIjKlMnOp", "hf_AbCdEfGhIjKlMnOp"),
    ("ghp_0123456789abcdef0123", "ghp_0123456789abcdef0123"),
    ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("LTAI5tAbCdEfGhIjKlMn", "LTAI5tAbCdEfGhIjKlMn"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0"),
    ("MODELSCOPE_API_TOKEN=ms-12345678-aaaa-bbbb-cccc-1234567890ab", "1234567890ab"),
    ("HF_TOKEN=plainvalue123", "plainvalue123"),
    ("vllm serve m --api-key plainvalue123 --port 1", "plainvalue123"),
    ("vllm serve m --api-key=plainvalue123", "plainvalue123"),
    ('{"password": "hunter2hunter2"}', "hunter2hunter2"),
    ("db_password: hunter2hunter2", "hunter2hunter2"),
    ("https://user:hunter2@models.corp.example/x", "hunter2"),
    ("https://models.corp.example/x?X-Amz-Signature=abc123&Expires=1", "abc123"),
    ("https://models.corp.example/x", "corp.example"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "b3BlbnNzaA"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEvQ", "MIIEvQ"),
    ("config of /home/liwei/models", "liwei"),
    ("in /data/people/liwei/x", "people"),
    ("file /home/zhangsan/a.py", "zhangsan"),
    ("owner liwei:staff", "liwei"),
    ("mail to li.wei@corp.example", "li.wei"),
    ("rank 0 on gpu-node-17.corp.example:29500", "gpu-node-17"),
    ("GPU-NODE-17 is up", "NODE-17"),
    ("connect to 10.20.0.29(27) failed", "10.20.0.29"),
    ("listen on [fd00:1234::17]:8000", "fd00:1234"),
    ("link 52:54:00:ab:cd:ef up", "52:54:00:ab:cd:ef"),
    ("GPU-5f3c1a2b-1111-2222-3333-444455556666", "5f3c1a2b"),
    ("DEBUG 1 Request chatcmpl-1 details: prompt: 'my salary is 5', prompt_token_ids: [1, 2]", "salary"),
    ("Received request cmpl-1: prompt: 'my salary is 5', params: SamplingParams(n=1)", "salary"),
    ('DEBUG Request x JSON body: {"messages":[{"role":"user","content":"my salary"}]}', "salary"),
    ("Generated response chatcmpl-1: output: 'your salary is 5', output_token_ids: [5]", "salary"),
    ("1 validation error: [type=int_parsing, input_value='my salary', input_type=str]", "salary"),
    ("prompt_token_ids: [872, 24748, 1919]", "24748"),
    ("authorization: bearer plainvalue123", "plainvalue123"),
    ('{"headers": {"Authorization": "Bearer x.yz"}}', "x.yz"),
    ("Headers([('authorization', 'plainvalue123')])", "plainvalue123"),
    ("[(b'x-api-key', b'plainvalue123')]", "plainvalue123"),
    ("['vllm', 'serve', '--api-key', 'plainvalue123']", "plainvalue123"),
    ("non-default args: {'api_key': ['first123', 'plainvalue123'], 'model': 'x'}", "plainvalue123"),
    ("huggingface-cli login --token plainvalue123", "plainvalue123"),
    ("vllm serve m --hf-token 'plain value123'", "value123"),
    ("vllm serve m --api-key ab]cd;plainvalue123", "plainvalue123"),
    ('{"accessToken": "plainvalue123"}', "plainvalue123"),
    (r'body "{\"password\": \"plainvalue123\"}"', "plainvalue123"),
    ("password='hunter, 2hunter2'", "2hunter2"),
    ("SECRET_KEY=plainvalue123", "plainvalue123"),
    ("PGPASSWORD=plainvalue123", "plainvalue123"),
    ("NPM_AUTH=plainvalue123 DB_PASS=x", "plainvalue123"),
    ("Cookie: id=1; session=plainvalue123", "plainvalue123"),
    ("密码：plainvalue123", "plainvalue123"),
    ("http://user:hun@ter/2hunter2@proxy.corp.example:3128/", "ter"),
    ("http://user:hunter2@proxy.corp.example:3128/", "corp.example"),
    ("https_proxy=user:hunter2@proxy:3128", "hunter2"),
    ("tcp://inner-llm:29500", "inner-llm"),
    ("rank0_10.20.0.29_x", "10.20.0.29"),
    ("ip-10-20-0-29 is up", "10-20-0-29"),
    ("listening on fd00:1234::17:29500.", "fd00:1234"),
    ("a" * 3990 + "correct-horse-battery", "correct-ho"),
]


@pytest.mark.parametrize(("said", "secret"), PLANTED, ids=lambda value: str(value)[:40])
def test_planted_secrets_are_taken_out(said, secret):
    taken = redactor()
    assert secret not in taken.text(said)
    assert taken.count


@pytest.mark.parametrize(
    "said",
    [
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
        "(EngineCore pid=7) ERROR 11-22 04:08:47 [core.py:1510] torch.OutOfMemoryError: CUDA out of memory.",
        "max_tokens=16, tokenizer='/models/qwen', max_num_batched_tokens: 8192, prompt: None",
        "listening on 127.0.0.1:8000, also 0.0.0.0 and ::1",
        "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.",
        "at::native::c10 std::vector 12:34:56 0000:3b:00.0",
        "see https://docs.vllm.ai/en/latest/usage/troubleshooting.html",
        "HCCL_BUFFSIZE is too SMALL, maxBs = 512 = 609MB, HCCL_BUFFSIZE=200MB.",
        "vllm 0.23.0, CANN 9.1.0, torch 2.10.0.post4, driver 580.95.05",
        "Loading safetensors checkpoint shards: 100% Completed | 2/2",
        "quay.io/ascend/vllm-ascend:v0.23.0@sha256:0123456789abcdef",
        "eos_token_id=2, max_num_tokens: 4, tokens per second: 7",
    ],
)
def test_what_helps_stays(said):
    taken = redactor()
    assert taken.text(said) == said
    assert taken.count == 0


def test_equal_addresses_get_equal_numbers_so_that_a_log_can_be_followed():
    said = redactor().text("10.0.0.1 to 10.0.0.2, then 10.0.0.1 from http://node2:8000")
    assert said == "[ip 1] to [ip 2], then [ip 1] from http://[host 1]:8000"


def test_addresses_may_be_left():
    taken = redactor(keep_addresses=True)
    assert taken.text("10.0.0.1 of gpu-node-17") == "10.0.0.1 of [host]"


def test_json_values_keys_and_command_lines():
    given = {
        "argv": ["vllm", "--api-key", "first-secret", "--port", "8000"],
        "api_key": "second-secret",
        "variables": {"HF_TOKEN": "third-secret", "VLLM_PORT": "9"},
        "hostname": "vm",
        "ascend_driver": "24.1.0.3",
        "versions": {"x": "1.2.3.4"},
        "path": {"/home/liwei/x": 1},
        "count": 7,
        "nothing": None,
    }
    found = redactor().value(given)
    assert found == {
        "argv": ["vllm", "--api-key", "[secret]", "--port", "8000"],
        "api_key": "[secret]",
        "variables": {"HF_TOKEN": "[secret]", "VLLM_PORT": "9"},
        "hostname": "[host]",
        "ascend_driver": "24.1.0.3",
        "versions": {"x": "1.2.3.4"},
        "path": {"~/x": 1},
        "count": 7,
        "nothing": None,
    }
    assert not re.search("first|second|third", json.dumps(found))


def test_names_that_everybody_has_are_no_secret():
    assert (
        Redactor(users=["root"], homes=["/root"], hosts=["localhost"]).text("root at localhost") == "root at localhost"
    )


def test_an_excerpt_has_only_lines_with_the_form_of_log_lines():
    log = (
        "(APIServer pid=1) INFO 11-22 04:08:40 [x.py:1] started\n"
        "what a user wrote, over\nINFO and lines\n"
        "Traceback (most recent call last):\n"
        '  File "/opt/vllm/x.py", line 3, in run\n'
        "    self.run(prompt)\n"
        "    indented by a user\n"
        "ValueError: too long\n"
    )
    found = excerpt(log, 100)
    assert found == [
        "(APIServer pid=1) INFO 11-22 04:08:40 [x.py:1] started",
        "[a line of 23 characters]",
        "[a line of 14 characters]",
        "Traceback (most recent call last):",
        '  File "/opt/vllm/x.py", line 3, in run',
        "    self.run(prompt)",
        "[a line of 22 characters]",
        "ValueError: too long",
    ]
    assert excerpt(log, 1) == ["ValueError: too long"]


SLOW_PARTS = ["a_", "a-", "1.1.", "a.a", "http://a.", "api_key ", "-----BEGIN PRIVATE KEY-----"]
SLOW_PARTS += ["--a", "a:b@", "token\\", "token'", "Cookie:", "'secret', "]


@pytest.mark.parametrize("part", SLOW_PARTS)
def test_long_lines_lose_their_end_and_take_no_time(part):
    """Without the cut these take a minute and more: they try every place as a beginning."""
    found = redactor().text(part * (40_000 // len(part)))
    assert found.endswith("more characters]") or "[secret]" in found
    assert len(found) < 8000
