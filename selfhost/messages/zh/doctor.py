"""What `selfhost doctor` finds about the machine around the accelerators, and what it says of itself."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    # The command
    "doctor.line": Text("{severity}：{where}：{what}"),
    "doctor.is_error": Text("错误"),
    "doctor.is_warning": Text("警告"),
    "doctor.is_note": Text("提示"),
    "doctor.fix": Text("处理：{hint}"),
    "doctor.see": Text("参见：{link}"),
    "doctor.clean": Text("从这里能看到的都没有问题"),
    "doctor.summary": Text("错误：{errors}，警告：{warnings}，提示：{notes}"),
    "doctor.not_told": Text("未能得知：{what}"),
    "doctor.two_questions": Text(
        "`--log` 只读日志，不检查本机",
        "同时给出了：`--log` 和 `--model`",
        "分两次询问：`selfhost doctor --log FILE`，然后 `selfhost doctor --model MODEL`",
    ),
    # What could not be asked
    "doctor.dmesg_closed": Text("内核日志：当前用户无权读取；以 root 身份：`sudo dmesg`"),
    "doctor.dmesg_silent": Text("内核日志：`dmesg` 在 {seconds} s 内没有响应"),
    "doctor.nvml_silent": Text("GPU 的健康状况：{detail}"),
    "doctor.python_silent": Text("`{python}` 的软件包：{detail}"),
    "doctor.not_stored": Text("磁盘速度：`{name}` 还没有存储在本机"),
    "doctor.unread": Text("磁盘速度：{detail}"),
    "doctor.servers_unread": Text("某个服务的记录：{detail}"),
    # The machine
    "doctor.open_files": Text(
        "最多只能打开 {found} 个文件",
        "vLLM 要求 {wanted} 个；每个请求占用一个连接，每个工作进程也占用一些",
        "提高硬限制：`ulimit -Hn 65535`，或在 systemd 单元中写 `LimitNOFILE=65535`，容器用 `--ulimit nofile=65535`",
    ),
    "doctor.locked_memory": Text(
        "只能锁定 {found} 内存",
        "RDMA 把缓冲区注册为锁定内存，不够时报错 `Cannot allocate memory`",
        "`ulimit -l unlimited`，或在 systemd 单元中写 `LimitMEMLOCK=infinity`，容器用 `--ulimit memlock=-1`",
    ),
    "doctor.no_shm": Text(
        "没有共享内存 /dev/shm",
        "同一服务的工作进程通过它交换消息",
        "挂载一个：容器用 `--shm-size=16g`",
    ),
    "doctor.small_shm": Text(
        "共享内存 /dev/shm 太小：{size}",
        "多个设备的工作进程需要 240 MiB 传递消息，集合通信需要更多；{wanted} 对多数情况足够",
        "容器用 `--shm-size=16g` 或 `--ipc=host`；主机上用 `sudo mount -o remount,size=16G /dev/shm`",
    ),
    "doctor.full_shm": Text(
        "共享内存 /dev/shm 已满：{size} 中剩余 {free}",
        "被杀死的服务留下的内容会一直留在那里，直到有人删除",
        "查看其中的内容：`ls -l /dev/shm`；删除没有运行中的进程打开的文件",
    ),
    "doctor.small_cgroup": Text(
        "控制组只允许使用 {limit} 内存",
        "多个工作进程各自加载 torch 的库，加载权重还要缓冲区：{wanted} 偏少",
        "提高限制：容器的 `--memory`，Pod 的 `resources.limits.memory`，systemd 单元的 `MemoryMax=`",
    ),
    "doctor.oom_kills": Text(
        "因内存耗尽，内核结束了本控制组的 {count} 个进程",
        hint="提高限制，或减少工作进程；查看模型的需求：`selfhost plan MODEL`",
    ),
    "doctor.killed": Text(
        "因内存耗尽，内核结束了 {count} 个进程，最后一个是 {last}",
        hint="查看模型的需求：`selfhost plan MODEL`",
    ),
    "doctor.full_disk": Text(
        "存放模型的空间不多：{path} 共 {total}，剩余 {free}",
        hint="查看存储的内容和无人使用的内容：`selfhost ls`、`selfhost gc`；或者移动 `SELFHOST_HOME`",
    ),
    "doctor.slow_disk": Text(
        "从这块磁盘加载 `{name}` 需要 {time}",
        "权重：{size}，实测：每秒 {speed}",
        "把存储库放到更快的磁盘上",
    ),
    "doctor.disk_speed": Text("`{name}` 大约 {time} 加载完成", "权重：{size}，实测：每秒 {speed}"),
    "doctor.clock": Text(
        "时钟不正确：{now}",
        "实际应晚于 {first}；时钟错误时证书会被拒绝，签名会显得来自未来",
        "校准：`sudo timedatectl set-ntp true`",
    ),
    "doctor.nameless": Text(
        "当前用户在用户数据库中没有条目",
        "torch 会查询用户名，有多个 rank 时会因此退出",
        "使用 /etc/passwd 中已有的 uid，或挂载一个含有该 uid 的 /etc/passwd",
    ),
    "doctor.unfinished_engine": Text(
        "有一个引擎没有安装完成：{path}",
        hint="`selfhost engine remove {name}`，然后 `selfhost engine install {name}`",
    ),
    "doctor.other_engine": Text(
        "引擎 `{name}` 所用的锁文件与当前 selfhost 的不同：{path}",
        "它不会被使用",
        "`selfhost engine install {name}` 会安装版本 {version}",
    ),
    "doctor.none_supported": Text(
        "{count} 块加速卡都无法使用",
        "{reasons}",
        "查看哪些可以：`selfhost plan MODEL --matrix`",
    ),
    "doctor.not_supported": Text("`{name}` 无法使用", "{reason}"),
    "doctor.mixture": Text(
        "有多种加速卡：{kinds}",
        "一个服务只在一种加速卡上运行",
        "为每个服务指定各自的设备：`CUDA_VISIBLE_DEVICES`、`ASCEND_RT_VISIBLE_DEVICES`",
    ),
    "doctor.memory_held": Text(
        "{where}：{total} 中已占用 {used}",
        "{who}",
        "结束遗留的进程：`selfhost ps`、`selfhost stop NAME`、`kill PID`",
    ),
    "doctor.memory_held_by": Text(
        "{where}：{total} 中已占用 {used}，从这里看不到占用者",
        "可能是其他容器或用户的进程，或者是结束时没有释放显存的进程",
        "在主机上查看占用者：`{tool}`",
    ),
    "doctor.no_plan": Text(
        "`{name}` 不能在本机运行：{verdict}", "{reasons}", "查看可行的办法：`selfhost plan {model}`"
    ),
    # Logs
    "doctor.no_log": Text("无法读取日志 `{path}`", "{detail}", "请指定引擎输出的文件"),
    "doctor.log_clean": Text("{lines} 行中没有已知的故障"),
    "doctor.log_cause": Text("原因，第 {number} 行：{what}"),
    "doctor.log_also": Text("另外，第 {number} 行：{what}"),
    "doctor.log_symptom": Text("症状，第 {number} 行：{what}"),
    "doctor.log_times": Text("{count} 次"),
    "doctor.log_first": Text("最早的故障是原因；之后的大多由它引起"),
    "doctor.log_unknown": Text("未知的异常"),
    "doctor.log_cut": Text("日志被截断或已损坏：{detail}"),
    "doctor.log_unfinished": Text("压缩文件不完整，在中途结束"),
    # Other nodes
    "doctor.node_unread": Text("无法读取 `{path}`", "{detail}", "请指定另一节点的报告：`--node FILE`"),
    "doctor.node_empty": Text(
        "`{path}` 中没有 NPU 网络的信息",
        "需要：`selfhost doctor --report` 的报告、`hccn_tool` 在终端中的输出，或 `/etc/hccn.conf`",
        "在那个节点上：`selfhost doctor --keep-addresses --report FILE`",
    ),
    # Reports
    "doctor.report_exists": Text(
        "`{path}` 已经存在",
        "报告不会覆盖任何文件",
        "换一个名字：`--report {path}.2`",
    ),
    "doctor.report_nowhere": Text("目录 `{folder}` 不存在", hint="`mkdir -p {folder}`，或换一个位置"),
    "doctor.report_written": Text(
        "报告：{path}，{size}，仅当前用户可读",
        "密钥、令牌、主机名和用户名、地址以及请求的文本已经去除：{count} 处",
        "交给别人之前请先阅读",
    ),
}
