"""Messages about the network ports of NPUs, through which nodes reach each other."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "hccn.no_tool": Text(
        "没有 `hccn_tool`：不检查 NPU 的网络",
        "已在 PATH 和 /usr/local/Ascend/driver/tools 中查找",
        "它随驱动提供；在容器中，挂载 `/usr/local/Ascend/driver/tools/hccn_tool` 和 `/etc/hccn.conf`",
    ),
    "hccn.hangs": Text(
        "`hccn_tool` 对 NPU {devices} 没有响应",
        "{seconds} s 内没有响应",
        "手工查询：`hccn_tool -i {first} -link -g`；完全没有响应的设备需要重新加载驱动",
    ),
    "hccn.link_down": Text(
        "网口状态为 {state}",
        "应为：UP",
        "检查线缆、光模块和交换机端口；历史记录：`hccn_tool -i N -link_stat -g`",
    ),
    "hccn.health": Text(
        "网口无法到达它所探测的地址：{state}",
        "应为：Success",
        "查看是哪个地址：`hccn_tool -i N -netdetect -g`；然后检查线缆、交换机、网口的地址和网关",
    ),
    "hccn.not_tried": Text(
        "从未探测过网口能否到达任何地址：{state}",
        "没有设置要探测的地址",
        "设置一个，通常是网关：`hccn_tool -i N -netdetect -s address ADDRESS`",
    ),
    "hccn.no_address": Text(
        "网口没有地址",
        hint="设置一个：`hccn_tool -i N -ip -s address ADDRESS netmask MASK`",
    ),
    "hccn.gateway_outside": Text(
        "网关在网口自己的网络之外",
        "网关：{gateway}，网络：{network}",
        "更正其中之一：`hccn_tool -i N -gateway -s gateway ADDRESS`",
    ),
    "hccn.vnic": Text(
        "超节点内的网口没有就绪：{state}",
        "应为：UP，并且有地址",
        "查看：`hccn_tool -i N -vnic -g`；超节点自身的信息：`npu-smi info -t spod-info -i CARD -c CHIP`",
    ),
    "hccn.tls_differs": Text(
        "有些 NPU 开启了 TLS，有些关闭：它们之间不能通信",
        "开启：{on}\n关闭：{off}",
        "在所有节点上设为一致，例如关闭：`for i in $(seq 0 7); do hccn_tool -i $i -tls -s enable 0; done`",
    ),
    "hccn.same_address": Text(
        "两个网口的地址相同：{address}",
        "{devices}",
        "给其中一个换地址：`hccn_tool -i N -ip -s address ADDRESS netmask MASK`",
    ),
    "hccn.counts": Text(
        "各节点的 NPU 数量不同",
        "{counts}",
        "每个节点都要有规划所需的数量；缺少的在 `npu-smi info` 中也没有",
    ),
    "hccn.apart": Text(
        "不同节点上同一编号 NPU 的网口在不同的网络中，并且不是都有网关",
        hint="放到同一网络中，或设置网关：`hccn_tool -i N -gateway -s gateway ADDRESS`",
    ),
    "hccn.routed": Text(
        "不同节点上同一编号 NPU 的网口在不同的网络中：需要经过网关",
        hint="试一试：`hccn_tool -i N -ping -g address ADDRESS-ON-THE-OTHER-NODE`",
    ),
    "hccn.not_told": Text(
        "`hccn_tool` 没有回答 `-{question}`",
        "它的输出：{answer}",
        "有些查询只限 root，有些不是每个驱动都支持",
    ),
}
