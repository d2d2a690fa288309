"""Messages about keys, signatures and who is trusted."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "trust.private_key": Text(
        "此处需要公钥，给出的却是私钥：`{path}`",
        "私钥应由签名者保管",
        "换成对应的公钥：`ssh-keygen -y -f KEY > NAME.pub`",
    ),
    "trust.bad_key": Text(
        "不是可用的密钥：`{path}`",
        "{detail}",
        "生成可为离线包和模型签名的密钥：`ssh-keygen -t ecdsa -b 256 -f KEY`；公钥为 `KEY.pub`",
    ),
    "trust.unreadable_key": Text(
        "无法读取密钥：`{path}`",
        "{detail}",
        "查看谁可读取：`ls -l {path}`",
    ),
    "trust.no_passphrase": Text(
        "密钥已加密，但无法询问口令：`{path}`",
        hint="交给 agent：`ssh-add {path}`，再用其公钥签名：`--sign-key {path}.pub`",
    ),
    "trust.wrong_passphrase": Text("口令无法打开密钥：`{path}`", hint="试一下：`ssh-keygen -y -f {path}`"),
    "trust.no_tool": Text(
        "用 ssh-agent 中的密钥签名需要 `{tool}`：`{path}`",
        "这是公钥，私钥在 agent 中；只有 OpenSSH 能请求它",
        "安装 OpenSSH 客户端，例如 `apt install openssh-client`，或指定私钥",
    ),
    "trust.agent_refused": Text(
        "ssh-agent 没有用 {fingerprint} 签名",
        "ssh-keygen 输出：{detail}",
        "查看 agent 中的密钥：`ssh-add -l`",
    ),
    "trust.malformed": Text(
        "无法读取签名",
        "{detail}",
        "请向制作者重新索取离线包；该签名已不是原样，或从来就不是签名",
    ),
    "trust.bad_signature": Text(
        "签名与内容不对应",
        "签名中的密钥为 {signer}；文件列表或签名在签名之后被改动",
        "不要使用该离线包；请向制作者重新索取",
    ),
    "trust.other_purpose": Text(
        "该签名用于其他用途",
        "命名空间实际为 {found}，应为 {wanted}",
        "不要使用该离线包；请制作者提供用 `selfhost bundle create --sign-key KEY` 签名的离线包",
    ),
    "trust.unsigned": Text(
        "离线包没有签名",
        "{places} 中有 {count} 个受信任的密钥：一旦有受信任的密钥，就只接受已签名的离线包",
        "请索取已签名的：`selfhost bundle create --sign-key KEY ...`\n或接受它并把理由记入日志："
        "`--allow-unsigned 'REASON'`",
    ),
    "trust.too_few": Text(
        "受信任密钥的签名不足",
        "需要 {wanted} 个，实际 {found} 个；签名者：{signers}\n受信任的密钥位于 {places}",
        "请通过该介质以外的途径与制作者核对指纹；若确为其密钥，\n把其公钥放到那里：`cp KEY.pub {directory}/`",
    ),
    "trust.not_named": Text(
        "指定的密钥均未签名",
        "签名者：{signers}；指定的密钥：{places}",
        "请通过该介质以外的途径与制作者核对指纹，并指定其公钥",
    ),
    "trust.revoked": Text(
        "用已吊销的密钥签名：{signer}",
        "在 `{source}` 中吊销",
        "请制作者换用其他密钥签名",
    ),
    "trust.outside_time": Text(
        "密钥目前不在有效期内：{signer}",
        "有效期：{window}；本机时钟为 {now}",
        "若时钟有误，请校正；不加 `--strict-time` 时仅为警告",
    ),
    "trust.note_outside_time": Text("密钥目前不在有效期内：{signer}；有效期：{window}；本机时钟为 {now}"),
    "trust.note_unsigned": Text("未签名：该离线包的内容无人担保"),
    "trust.note_nobody": Text("签名者为 {signers}，本机对其没有信任依据；如要从此信任：`cp KEY.pub {directory}/`"),
    "trust.note_allowed": Text("未经受信任的签名即予接受；理由：{reason}"),
    "trust.no_reason": Text(
        "`--allow-unsigned` 需要理由",
        "理由会记入日志",
        "例如 `--allow-unsigned 'test bundle of 2026-11-21, made by hand'`",
    ),
    "trust.bad_settings": Text(
        "信任设置有误：`{path}`",
        "{detail}",
        "更正该文件；在可读取之前不接受任何内容",
    ),
    "trust.open_to_all": Text(
        "任何人都可写入 `{path}`",
        "权限：{mode}；能写入那里的人决定谁受信任",
        "取消该权限：`chmod o-w {path}`",
    ),
    "trust.odd_file": Text(
        "无法判断它在信任目录中的用途：`{path}`",
        "应为：密钥 `NAME.pub`，设置 `{settings}`；其他文件会被悄悄忽略",
        "改成这样的名称，或移到别处",
    ),
    "trust.unreadable": Text(
        "无法判断谁受信任：`{path}`",
        "{detail}",
        "让当前用户可读：`ls -ld {path}`",
    ),
    "trust.secret": Text(
        "`{path}` 不得随介质流出",
        "{kind}",
        "把它移出模型目录；若该密钥真实且他人可读，请作废并重新生成",
    ),
    "trust.rollback": Text(
        "比此前接受过的更旧：`{subject}`",
        "该离线包的序号：{serial}，可接受的最低序号：{lowest}",
        "请获取最新的离线包；若确要回退：`--allow-rollback`",
    ),
    "trust.bad_serials": Text(
        "序号记录已损坏：`{path}`",
        "没有它，旧离线包可能冒充新的",
        "用备份恢复，或接受这一点并删除它：`rm {path}`",
    ),
    "trust.malformed_model_signature": Text(
        "无法读取 `model.sig`",
        "{detail}",
        "请向模型的签名者重新索取；此处支持的是使用密钥的 OpenSSF Model Signing 1.0",
    ),
    "trust.bad_model_signature": Text("`model.sig` 在签名之后被改动", hint="不要使用该模型；请向签名者重新索取"),
    "trust.model_differs": Text(
        "{name} 的 `model.sig` 针对的是其他文件：{count} 个不符",
        "{names}",
        "查明之前不要使用该离线包：请询问模型的签名者",
    ),
    "trust.unknown_model_signer": Text(
        "没有受信任的密钥为该模型签名",
        "签名者密钥（PEM）的 sha256：{hint}；可比对的 ECDSA 密钥：{count} 个",
        "请指定签名者的公钥：`--key KEY.pub`",
    ),
}
