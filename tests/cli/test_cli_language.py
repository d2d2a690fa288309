"""Commands where the locale asks for Chinese: people get it, machines and files do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost import messages
from selfhost.app import doctor as app
from selfhost.app.doctor import Examined
from selfhost.cli import output
from selfhost.doctor.examine import examine
from tests.doctor.doctor_support import ascend
from tests.serve.serve_support import LOGS


@pytest.fixture
def speak(monkeypatch):
    """The locale of the commands that follow; after the test English is spoken again, as in a process of its own."""
    monkeypatch.setattr(output, "_language", messages.ENGLISH)

    def locale(**environ):
        monkeypatch.delenv("SELFHOST_LANG", raising=False)
        for name in ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    return locale


def test_an_error_is_chinese_with_the_code_of_the_english_one(selfhost, speak):
    speak(LANG="zh_CN.UTF-8")
    code, out, err = selfhost("plan", "nosuch")
    assert (code, out) == (2, "")
    assert err.startswith("错误：没有名为 `nosuch` 的配方\n  ")
    assert "\n提示：`selfhost recipe ls`" in err
    speak(LANG="zh_CN.UTF-8", LC_ALL="C")
    code, out, err = selfhost("plan", "nosuch")
    assert (code, out) == (2, "")
    assert err.startswith("error: no recipe named `nosuch`\n  ")
    assert "\nhint: `selfhost recipe ls`" in err


def test_json_is_english_in_every_locale(selfhost, speak):
    asked = [("plan", "nosuch", "--json"), ("plan", "qwen2.5-72b", "--on", "4xA800-80G", "--json"), ("doctor", "--json",
             "--log", LOGS / "kv-too-small.log")]  # fmt: skip
    for arguments in asked:
        speak(LC_ALL="C")
        code, english, _ = selfhost(*arguments)
        speak(LANG="zh_CN.UTF-8")
        assert selfhost(*arguments)[:2] == (code, english)
        assert json.loads(english)
        assert english.isascii() or not any("\u4e00" <= one <= "\u9fff" for one in english)


def test_doctor_of_a_machine_in_chinese(monkeypatch, selfhost, speak):
    facts = ascend(driver_files=False)
    monkeypatch.setattr(app, "examine_here", lambda _home, _model, **_: Examined(facts=facts, findings=examine(facts)))
    speak(LANG="zh_CN.UTF-8")
    code, out, err = selfhost("doctor")
    assert code == 3
    assert out == (
        "错误：driver：/usr/local/Ascend/driver/version.info 不存在\n"
        "    CANN 从中读取驱动版本\n"
        "    处理：在主机上安装驱动；在容器中，挂载该文件和 /usr/local/Ascend/driver/lib64\n"
        "    参见：https://docs.vllm.ai/projects/ascend/en/latest/installation.html\n"
    )
    assert err == "错误：1，警告：0，提示：0\n"


def test_doctor_of_a_log_in_chinese(selfhost, speak):
    speak(LANG="zh_CN.UTF-8")
    code, out, _ = selfhost("doctor", "--log", LOGS / "kv-too-small.log")
    assert code == 3
    first, *_ = out.splitlines()
    assert first.startswith("原因，第 ")
    assert "KV 缓存放不下一个" in first
    assert "NAME" not in first


def test_a_plan_is_drawn_in_chinese(selfhost, speak):
    speak(LANG="zh_CN.UTF-8")
    code, out, _ = selfhost("plan", "qwen2.5-72b", "--on", "4xA800-80G")
    assert code == 0
    assert "\n原因\n  - " in out
    reasons = out.partition("\n原因\n")[2].partition("\n\n")[0]
    assert all(any("\u4e00" <= one <= "\u9fff" for one in reason) for reason in reasons.split("\n  - "))
    assert "--tensor-parallel-size 4" in out


def test_what_is_rendered_is_the_same_bytes_in_every_locale(selfhost, speak, tmp_path):
    made = []
    for name, environ in (("en", {"LC_ALL": "C"}), ("zh", {"LANG": "zh_CN.UTF-8"})):
        speak(**environ)
        folder = tmp_path / name / "out"
        folder.parent.mkdir()
        code, _, err = selfhost("render", "compose", "qwen2.5-7b", "--on", "1xH20", "--output", folder)
        assert code == 0, err
        made.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert made[0]
    assert made[0] == made[1]


def test_a_language_that_is_not_here_is_a_usage_error(selfhost, monkeypatch):
    monkeypatch.setenv("SELFHOST_LANG", "klingon")
    code, out, err = selfhost("recipe", "ls")
    assert (code, out) == (2, "")
    assert err.startswith("error: `SELFHOST_LANG` names a language that is not here: `klingon`\n  here: en, zh\n")


def test_only_the_command_line_speaks_to_people():
    """A supervisor that inherits the locale writes what it ever wrote."""
    program = (
        "from selfhost.messages import Message, text\n"
        "import selfhost.app.start, json\n"
        "print(json.dumps([text('cli.interrupted'), Message('cli.terminated').what]))"
    )
    environ = {**os.environ, "LANG": "zh_CN.UTF-8", "LC_ALL": "zh_CN.UTF-8", "SELFHOST_LANG": "zh"}
    said = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == ["interrupted", "terminated"]


def test_nothing_but_the_output_of_the_command_line_changes_the_language():
    package = Path(messages.__file__).resolve().parent.parent
    speakers = {str(path.relative_to(package)) for path in package.rglob("*.py") if "speaking(" in path.read_text()}
    assert speakers == {"cli/output.py", "messages/__init__.py"}


def test_the_picture_of_a_plan_has_no_english_words_in_chinese(selfhost, speak):
    speak(LANG="zh_CN.UTF-8")
    code, out, _ = selfhost("plan", "qwen2.5-7b", "--on", "1xH20")
    assert code == 0
    assert out.startswith("放得下：qwen2.5-7b（bf16）")
    bars = [line for line in out.splitlines() if "  #" in line or line.startswith("  预算")]
    figures = {len(line.partition("  #")[0].encode("gbk")) for line in bars}
    assert len(figures) == 1, "figures stand below each other"
    code, out, _ = selfhost("plan", "deepseek-v3", "--on", "1xA800-80G")
    assert (code, out[:4]) == (3, "放不下：")
    speak(LANG="en_US.UTF-8")
    assert selfhost("plan", "qwen2.5-7b", "--on", "1xH20")[1].startswith("fits: qwen2.5-7b (bf16) fits on H20-96G\n")


@pytest.mark.parametrize("command", [("recipe", "ls"), ("plan", "--for-hardware", "8xH20")], ids=" ".join)
def test_heads_of_tables_are_chinese_and_stand_above_their_columns(selfhost, speak, command):
    speak(LANG="en_US.UTF-8")
    english = selfhost(*command)[1]
    speak(LANG="zh_CN.UTF-8")
    chinese = selfhost(*command)[1]
    assert "LICENCE" in english or "VARIANT" in english
    assert not {"LICENCE", "VARIANT", "MODEL", "CONTEXT"} & {*chinese.split()}
    first = next(line for line in chinese.splitlines() if "deepseek-v3 " in line)
    head = next(line for line in chinese.splitlines() if "变体" in line)
    # Two columns a character: where `变体` begins, a variant begins.
    begin = len(head.partition("变体")[0].encode("gbk"))
    assert first.encode("gbk")[begin - 1 : begin] == b" "
    assert first.encode("gbk")[begin : begin + 1].isalnum()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_was_closed_is_no_failure(closed):
    line = f'"$0" -m selfhost recipe show qwen2.5-7b {closed}'
    assert subprocess.run(["sh", "-c", line, sys.executable], check=False, capture_output=True).returncode == 0
    line = f'"$0" -m selfhost recipe show nosuch {closed}'
    assert subprocess.run(["sh", "-c", line, sys.executable], check=False, capture_output=True).returncode == 2


def test_detect_and_recipe_show_have_chinese_labels(selfhost, speak):
    speak(LANG="zh_CN.UTF-8")
    labels = {line.split()[0] for line in selfhost("detect")[1].splitlines() if line}
    assert labels >= {"加速卡", "主机", "系统", "内存", "驱动", "容器", "磁盘", "引擎"}
    shown = selfhost("recipe", "show", "qwen2.5-7b")[1].splitlines()
    found = {
        label: len(line.partition(value)[0].encode("gbk"))
        for label, value in (("许可证", "Apache-2.0"), ("参数量", "7.62B"), ("类", "Qwen2For"))
        for line in shown
        if line.split()[:1] == [label]
    }
    assert found == {"许可证": 14, "参数量": 14, "类": 14}, "values stand below each other"
