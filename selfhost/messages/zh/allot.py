"""Messages about several servers on one machine: devices, memory and cores among them."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    # What `--devices` says
    "allot.malformed": Text(
        "不是设备列表：`{devices}`",
        "`{word}` 既不是数字，也不是范围，也不是以 `GPU-` 或 `MIG-` 开头的 uuid",
        "按 `selfhost detect` 的编号：`--devices 0,1`、`--devices 4-7`",
    ),
    "allot.twice": Text("`--devices {devices}` 两次写到 `{word}`", hint="每个设备只写一次"),
    "allot.with_on": Text(
        "`--devices` 在现有设备中选择，而 `--on {on}` 假定其他设备",
        hint="去掉其中之一；`--on 2xH20` 假定两个",
    ),
    "allot.with_many": Text("`--devices` 只用于单个规划", hint="去掉它，或去掉 `--matrix` 和 `--for-hardware`"),
    "allot.unknown": Text("这里没有设备 `{word}`", "现有：{found}", "查看有哪些设备：`selfhost detect`"),
    "allot.several": Text("`{word}` 是多个 uuid 的开头", "现有：{found}", "多写几位：`selfhost detect --json`"),
    "allot.no_uuid": Text("无法区分 GPU {index} 的实例", hint="它们的 uuid 未知：参见 `nvidia-smi -L`"),
    "allot.hidden": Text(
        "设备 `{word}` 被 `{variable}={value}` 隐藏",
        hint="设置该变量的人把它留给了别人：取消该变量，或指定剩下的设备（`selfhost detect`）",
    ),
    "allot.unusable": Text("设备 `{word}`（{name}）无法使用", "{reason}", "查看有哪些设备：`selfhost detect`"),
    "allot.mixed": Text(
        "一个引擎只使用同一种设备，而 `--devices {devices}` 含有多种",
        "{found}",
        "指定同一种设备",
    ),
    "allot.one_slice": Text(
        "一个引擎只使用 GPU 的一个实例，而 `--devices {devices}` 含有多个",
        "实例之间不能互访",
        "为每个实例启动一个服务",
    ),
    "allot.no_such_cpu": Text(
        "CPU {word} 不存在，或本进程不能使用",
        "没有找到加速卡，因此 `--devices` 指核；现有：{found}",
        "指定其中一些：`--devices {found}`",
    ),
    # Reasons of a plan
    "allot.holds": Text("占用：{unit} {devices} 由服务 `{server}` 占用，每个 {promised}"),
    "allot.holds_loading": Text("占用：{unit} {devices} 由正在加载的服务 `{server}` 占用；每个已承诺 {promised}"),
    "allot.holds_host": Text("占用：服务 `{server}` 占用主机内存 {promised}；其中 {to_come} 已承诺但尚未占用"),
    "allot.cpus": Text("核：绑定到 CPU {cpus}，没有其他服务绑定到这些核"),
    "allot.cpus_named": Text("核：按要求绑定到 CPU {cpus}"),
    "allot.cpus_shared": Text(
        "核：没有一个核不被 {servers} 的线程使用；这些服务会相互拖慢。为每个服务分配各自的核："
        "`--devices 0-3`、`--devices 4-7`"
    ),
    "allot.blocked": Text("空间：若没有服务 `{server}` 则放得下：`selfhost stop {server}`"),
    "allot.blocked_by_all": Text("空间：若没有这些服务则放得下：`selfhost stop {servers}`"),
}
