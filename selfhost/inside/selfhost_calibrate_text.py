"""Text for calibration and for measuring: passages of a file, or selfhost's own, cut into samples of so many tokens.

A file is plain text with passages between blank lines (`.txt`, `.md`), or JSON lines (`.jsonl`) with a text, or with
`messages` of a conversation, which the model's own chat template puts together. The passages beside this file were
written for selfhost, under its licence; calibration adds exercises made by rule (selfhost_calibrate_practice.py),
measuring does not. Every second passage of selfhost's own is made a conversation: the marks of a chat template stand at
the start of whatever a server answers, and a scheme that never saw them may round just them badly (SmolLM2-135M in W8A8
answered in French), which prose alone does not measure either.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost_calibrate_practice import exercises
from selfhost_quantize_events import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = Path(__file__).resolve().with_name("selfhost_calibrate_text.txt")
HELD_OUT = Path(__file__).resolve().with_name("selfhost_loss_text.txt")
SEED = 20260101
EXERCISES = 600
LEAST_SAMPLES = 4
"""With fewer, what is measured of activations says little; a file that gives fewer is refused."""
_FILE_BYTES = 256 << 20
_JSON_LINES = (".jsonl", ".ndjson")
_TEXT = (".txt", ".md")
_GO_ON = {"zh": "请接着往下写：", "en": "Go on from here: "}  # noqa: RUF001 - Chinese punctuation
_SENTENCE = re.compile(r"(?<=[。！？!?])|(?<=[.]) ")  # noqa: RUF001 - Chinese punctuation
_KEYS = ("text", "content", "prompt")
_WIDE = 0.2


class Passage(NamedTuple):
    """A text, or a conversation."""

    language: str
    """`zh` or `en`, by its letters where the file does not say."""
    text: str = ""
    messages: tuple[dict[str, str], ...] = ()


def own_passages() -> list[Passage]:
    """Passages written for calibration and exercises, mixed, half of them conversations; the same each time."""
    found = [*_paragraphs(OWN), *(Passage(language, text) for language, text in exercises(EXERCISES, SEED))]
    random.Random(SEED).shuffle(found)  # noqa: S311 - an order, not a secret
    return half_as_conversations(found)


def held_out_passages() -> list[Passage]:
    """Passages written for measuring, half of them conversations."""
    return half_as_conversations(list(_paragraphs(HELD_OUT)))


def half_as_conversations(passages: list[Passage]) -> list[Passage]:
    """Every second one in each language as a question and its answer."""
    seen: Counter[str] = Counter()
    found = []
    for passage in passages:
        seen[passage.language] += 1
        found.append(passage if seen[passage.language] % 2 else as_conversation(passage))
    return found


def as_conversation(passage: Passage) -> Passage:
    """The first line asks and the rest answers; of a text in one line, its first sentence is to be gone on with.

    >>> as_conversation(Passage("en", "It rains. We stay.")).messages[0]["content"]
    'Go on from here: It rains.'
    """
    asked, _, said = passage.text.partition("\n")
    if not said.strip():
        asked, *rest = _SENTENCE.split(passage.text, maxsplit=1)
        asked, said = _GO_ON[passage.language] + asked, "".join(rest)
    if not said.strip():
        return passage
    turns = ({"role": "user", "content": asked.strip()}, {"role": "assistant", "content": said.strip()})
    return Passage(passage.language, "", turns)


def passages_of(path: Path) -> list[Passage]:
    """Those of a user's file. Raises Refused for what is not text, and names the line."""
    suffix = path.suffix.lower()
    if suffix not in (*_JSON_LINES, *_TEXT):
        raise refused(
            path, f"its name ends with {suffix or 'nothing'}, not with one of {', '.join((*_TEXT, *_JSON_LINES))}"
        )
    found = list(_json_lines(path) if suffix in _JSON_LINES else _paragraphs(path))
    if not found:
        raise refused(path, "it is empty")
    return found


def refused(path: Path, detail: str) -> Refused:
    """The error of a file that is no calibration text."""
    return Refused("quantize.bad_calibration", path=str(path), detail=detail)


def digest(passages: list[Passage]) -> str:
    """sha256 of what the passages say, in their order."""
    lines = (json.dumps(list(passage), ensure_ascii=False) for passage in passages)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _FILE_BYTES:
            raise refused(path, f"it has {path.stat().st_size} bytes, more than {_FILE_BYTES}")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused(path, f"it is no UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise refused(path, error.strerror or str(error)) from error


def _paragraphs(path: Path) -> Iterator[Passage]:
    text = _read(path).replace("\r\n", "\n")
    if "\0" in text:
        raise refused(path, "it holds NUL characters")
    for part in text.split("\n\n"):
        if part.strip():
            yield Passage(_language(part), part.strip())


def _json_lines(path: Path) -> Iterator[Passage]:
    # Not splitlines(): text may hold U+2028, which is an end of line to Python and none to JSON.
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise refused(path, f"line {number} is no JSON: {error}"[:200]) from error
        yield _passage(entry, path, number)


def _passage(entry: Any, path: Path, number: int) -> Passage:
    entry = {"text": entry} if isinstance(entry, str) else entry
    said = entry if isinstance(entry, dict) else {}
    texts, messages = (said.get(key) for key in _KEYS), said.get("messages")
    text = next((one for one in texts if isinstance(one, str) and one.strip()), None)
    if text is not None:
        return Passage(str(said.get("language") or _language(text)), text)
    if isinstance(messages, list) and messages and all(_is_message(message) for message in messages):
        turns = tuple({"role": message["role"], "content": message["content"]} for message in messages)
        whole = "\n".join(turn["content"] for turn in turns)
        return Passage(str(said.get("language") or _language(whole)), "", turns)
    raise refused(path, f"line {number} has none of the keys text, content, prompt, messages")


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))


def _language(text: str) -> str:
    letters = [letter for letter in text if letter.isalpha()]
    wide = sum("\u4e00" <= letter <= "\u9fff" for letter in letters)
    return "zh" if wide > _WIDE * len(letters) else "en"


def tokens_of(tokenizer: Any, passage: Passage) -> list[int]:
    """Tokens of a passage with an end after it, if the model has one; conversations by the model's template."""
    if passage.messages and tokenizer.chat_template:
        text = tokenizer.apply_chat_template([*passage.messages], tokenize=False)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    text = passage.text or "\n".join(turn["content"] for turn in passage.messages)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return [*tokenizer(text)["input_ids"], *end]


def samples_of(tokenizer: Any, passages: list[Passage], length: int, count: int | None) -> list[list[int]]:
    """Passages one after another, cut into samples of `length` tokens without padding: `count` of them, or all.

    A sample more would repeat text, so there may be fewer than were asked for.
    """
    found: list[list[int]] = []
    rest: list[int] = []
    for passage in passages:
        rest += tokens_of(tokenizer, passage)
        while len(rest) >= length:
            found.append(rest[:length])
            rest = rest[length:]
            if len(found) == count:
                return found
    return found
