"""Messages about moving bytes of files over HTTP."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    # What went wrong with one request, and is tried again
    "move.stalled": Text("`{host}` 停止发送"),
    "move.no_connection": Text("与 `{host}` 的连接失败：{detail}"),
    "move.ended": Text("`{host}` 过早结束连接"),
    "move.cut": Text("连接过早结束，还差 {missing:,} 字节"),
    "move.bad_range": Text("对字节 {begin}-{end}，服务器响应 `Content-Range: {found}`"),
    "move.no_partial": Text("请求部分内容，服务器却发送了整个文件"),
    "move.status": Text("`{url}` 响应 HTTP {status}"),
    "move.expired": Text("地址已过期：`{url}` 响应 HTTP {status}"),
    "move.unnamed": Text("字节 {begin}-{end}"),
    # Notes
    "move.note_retry": Text("{reason}；{seconds:.0f} s 后重试"),
    "move.note_waiting": Text("另一进程正在下载该文件，等待中"),
    "move.note_left": Text("此前下载的残留不属于该文件；重新开始"),
    "move.note_no_ranges": Text("服务器只发送整个文件：该下载若中断须从头开始"),
    "move.note_changed": Text("下载期间来源的文件有变化；重新开始一次"),
    "move.note_mismatch": Text("摘要不符，再取一次：应为 {wanted}，实际为 {found}"),
    # Final
    "move.gave_up": Text(
        "连续失败 {count} 次，已放弃下载 `{path}`",
        "最后一次：{detail}",
        "已下载的部分会保留：重新运行同一命令即可续传",
    ),
    "move.token": Text(
        "无权下载 `{path}`",
        "`{url}` 响应 HTTP {status}：需要令牌、需要换令牌，或尚未在那里接受许可证",
        "在模型页面接受许可证，再设置令牌：`export HF_TOKEN=...`",
    ),
    "move.absent": Text(
        "来源没有文件 `{path}`",
        "`{url}` 响应 HTTP {status}",
        "检查版本，或换一个来源",
    ),
    "move.refused": Text(
        "来源拒绝发送 `{path}`",
        "`{url}` 响应 HTTP {status}",
        "查看其说明：`curl -i {url}`",
    ),
    "move.changed": Text(
        "下载期间来源的 `{path}` 有变化",
        "其 ETag 不同，又没有已知摘要可判断哪个正确",
        "重新运行同一命令；若再次发生，请固定版本",
    ),
    "move.size": Text(
        "来源的 `{path}` 大小不同",
        "应为 {wanted:,} 字节，`{url}` 处为 {found:,}",
        "来源是该文件的另一版本，或不完整：请换一个来源",
    ),
    "move.too_long": Text(
        "来源发送的 `{path}` 超出应有长度",
        "应为 {wanted:,} 字节，收到更多",
        "来源是该文件的另一版本：请换一个来源",
    ),
    "move.digest": Text(
        "`{path}` 不是所承诺的文件",
        "应为 {wanted}\n实际 {found}\n已下载两次，并已删除",
        "换一个来源：该来源或其前面的代理发送了不同的内容",
    ),
    "move.page": Text(
        "收到的是网页，不是 `{path}`",
        "`{url}` 响应 HTML：登录页面，或代理的提示",
        "在本机浏览器中打开该地址，或按网络要求设置 `HTTPS_PROXY` 和 `NO_PROXY`",
    ),
    "move.encoded": Text(
        "收到的 `{path}` 被压缩",
        "`{url}` 响应 `Content-Encoding: {found}`，而请求中并未要求",
        "其前面的代理改动了内容：让代理放行该主机，见 `NO_PROXY`",
    ),
    "move.redirects": Text(
        "`{path}` 的来源无限重定向",
        "超过 {count} 次，最后一次到 `{url}`",
        "检查来源的地址",
    ),
    "move.bad_redirect": Text(
        "`{path}` 的来源指向不予采用的地址",
        "`{url}` 指向 `{found}`：不是 HTTP，或安全性低于原地址",
        "检查来源的地址",
    ),
    "move.bad_address": Text(
        "不是地址：`{url}`",
        "它本应是 `{path}` 的来源",
        "检查来源的地址",
    ),
    "move.certificate": Text(
        "无法验证 `{host}` 的证书",
        "{detail}",
        "在检查流量的代理之后，请指定其证书：`export SSL_CERT_FILE=/path/to/ca.pem`",
    ),
    "move.proxy_scheme": Text(
        "不是可用的代理：`{found}`",
        "应为 `http://host:port` 或 `https://host:port`",
        "把 `HTTPS_PROXY` 设为这样的值，或取消设置",
    ),
    "move.no_length": Text(
        "来源没有给出 `{path}` 的大小",
        "没有大小和摘要，就无法判断是否收全",
        "换一个来源",
    ),
    "move.no_ranges": Text(
        "来源不能只发送 `{path}` 的一部分",
        "它对范围请求返回整个文件",
        "换一个来源",
    ),
    "move.too_large": Text(
        "文件系统不支持 `{path}` 这样大的文件",
        "{detail}",
        "把 `SELFHOST_HOME` 设到其他文件系统；FAT 最大 4 GiB；另见 `ulimit -f`",
    ),
    "move.disk": Text(
        "`{path}` 所在的磁盘出错",
        "{detail}",
        "检查磁盘或网络文件系统，再运行同一命令",
    ),
    "move.no_locks": Text(
        "`{path}` 所在的文件系统不支持锁",
        "{detail}",
        "以支持锁的方式挂载（NFS：不用 `nolock`，或用 `local_lock=flock`），或把 `SELFHOST_HOME` 设到其他文件系统",
    ),
}
