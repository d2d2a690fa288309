"""Messages about certificates of servers."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "tls.both": Text(
        "证书须有密钥，密钥须有证书",
        "只给出了 `{flag}`",
        "两者都给出：`--ssl-certfile FILE --ssl-keyfile FILE`",
    ),
    "tls.unreadable": Text(
        "无法读取 `{path}`",
        "{detail}",
        "请指定当前用户可读的 PEM 文件",
    ),
    "tls.no_certificate": Text(
        "`{path}` 中没有证书",
        "应为 PEM，`-----BEGIN CERTIFICATE-----`，先是服务自身的证书，再是通往根证书的各级证书",
        "把 DER 转为 PEM：`openssl x509 -inform der -in FILE -out FILE.pem`",
    ),
    "tls.encrypted": Text(
        "`{path}` 中的密钥设有密码",
        "自行启动的服务无人可问",
        "另存一份无密码的：`openssl pkey -in {path} -out server.key`，再 `chmod 600 server.key`",
    ),
    "tls.mismatch": Text(
        "`{keyfile}` 不是 `{certfile}` 中证书的密钥",
        "两者的公钥不同；有多个证书时，服务自身的必须在最前",
        "查看文件内容：`openssl x509 -in {certfile} -noout -subject -enddate`",
    ),
    "tls.bad_pair": Text(
        "无法用 `{certfile}` 和 `{keyfile}` 启动服务",
        "{detail}",
        "两者都须为 PEM，即 `openssl x509 -in {certfile} -noout` 和 `openssl pkey -in {keyfile} -noout` 均无输出",
    ),
    "tls.not_now": Text(
        "`{path}` 中的证书目前不在有效期内",
        "有效期 {begins} 至 {ends}",
        "更新证书，或检查本机时钟：`date -u`",
    ),
}
