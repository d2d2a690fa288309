"""Messages about what a running server is asked before it is trusted."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "acceptance.key": Text("未知的密钥得到 {status}"),
    "acceptance.key_taken": Text("要求密钥，却接受了未知的密钥"),
    "acceptance.no_keys": Text("不要求密钥：只响应本机"),
    "acceptance.no_template": Text("模型没有对话模板"),
    "acceptance.rendered": Text("{tokens} token：{shown}"),
    "acceptance.answered": Text("提问：{prompt}；回答：{answer}；期望：{expect}"),
    "acceptance.ended": Text("回答结束的原因：{reason}"),
    "acceptance.equal": Text("两次都是相同的 {characters} 个字符"),
    "acceptance.differs": Text("从第 {place} 个字符起不同：{one} | {two}"),
    "acceptance.no_tool_parser": Text("服务没有工具调用的解析器"),
    "acceptance.no_call": Text("模型没有调用要求它调用的工具；它的回答：{said}"),
    "acceptance.call_unread": Text("`{parser}` 没有从中读出调用：{said}"),
    "acceptance.called": Text("`{parser}` 读出：{call}"),
    "acceptance.no_reasoning_parser": Text("服务没有思考内容的解析器"),
    "acceptance.no_thought": Text("模型没有先思考就回答了"),
    "acceptance.thought_unread": Text("`{parser}` 把思考内容留在了回答中：{said}"),
    "acceptance.thought": Text("`{parser}` 分出了 {characters} 个字符的思考内容"),
    "acceptance.accepted": Text("`{name}` 通过验收"),
    "acceptance.failed": Text(
        "`{name}` 没有达到要求：{count} 项检查未通过",
        "{listed}",
        "其选项和输出见 `selfhost logs {name}`；解析器和模板属于它的配方",
    ),
}
