"""Messages about what a running server is asked before it is trusted."""

from selfhost.messages import Text

MESSAGES = {
    "acceptance.key": Text("an unknown key gets {status}"),
    "acceptance.key_taken": Text("an unknown key was taken although keys are required"),
    "acceptance.no_keys": Text("no keys are required: it answers this machine only"),
    "acceptance.no_template": Text("the model has no chat template"),
    "acceptance.rendered": Text("{tokens} tokens: {shown}"),
    "acceptance.answered": Text("asked: {prompt}; answered: {answer}; expected: {expect}"),
    "acceptance.ended": Text("the answer ended by: {reason}"),
    "acceptance.equal": Text("twice the same {characters} characters"),
    "acceptance.differs": Text("different from character {place} on: {one} | {two}"),
    "acceptance.no_tool_parser": Text("the server has no parser for tool calls"),
    "acceptance.no_call": Text("the model did not call the tool it was asked to call; it said: {said}"),
    "acceptance.call_unread": Text("`{parser}` did not read the call in: {said}"),
    "acceptance.called": Text("`{parser}` read: {call}"),
    "acceptance.no_reasoning_parser": Text("the server has no parser for thoughts"),
    "acceptance.no_thought": Text("the model answered without thinking first"),
    "acceptance.thought_unread": Text("`{parser}` left thoughts in the answer: {said}"),
    "acceptance.thought": Text("`{parser}` kept {characters} characters of thought apart"),
    "acceptance.accepted": Text("`{name}` is accepted"),
    "acceptance.failed": Text(
        "`{name}` does not do what it should: {count} of its checks failed",
        "{listed}",
        "its options and what it said are in `selfhost logs {name}`; parsers and template belong to its recipe",
    ),
}
