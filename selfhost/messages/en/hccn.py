"""Messages about the network ports of NPUs, through which nodes reach each other."""

from selfhost.messages import Text

MESSAGES = {
    "hccn.no_tool": Text(
        "`hccn_tool` is not here: the network of the NPUs is not checked",
        "looked for it in PATH and in /usr/local/Ascend/driver/tools",
        "it comes with the driver; into a container, mount `/usr/local/Ascend/driver/tools/hccn_tool` and "
        "`/etc/hccn.conf`",
    ),
    "hccn.hangs": Text(
        "`hccn_tool` does not answer for NPU {devices}",
        "no answer within {seconds} s",
        "ask it yourself: `hccn_tool -i {first} -link -g`; a device that answers nothing needs the driver loaded again",
    ),
    "hccn.link_down": Text(
        "the network port is {state}",
        "wanted: UP",
        "check cable, optical module and switch port; the history: `hccn_tool -i N -link_stat -g`",
    ),
    "hccn.health": Text(
        "the network port does not reach the address that it tries: {state}",
        "wanted: Success",
        "see which address: `hccn_tool -i N -netdetect -g`; then cable, switch, address and gateway of the port",
    ),
    "hccn.not_tried": Text(
        "whether the network port reaches anything was never tried: {state}",
        "no address is set that it should try",
        "set one, usually the gateway: `hccn_tool -i N -netdetect -s address ADDRESS`",
    ),
    "hccn.no_address": Text(
        "the network port has no address",
        hint="set one: `hccn_tool -i N -ip -s address ADDRESS netmask MASK`",
    ),
    "hccn.gateway_outside": Text(
        "the gateway is outside of the port's own network",
        "gateway: {gateway}, network: {network}",
        "correct one of them: `hccn_tool -i N -gateway -s gateway ADDRESS`",
    ),
    "hccn.vnic": Text(
        "the port within the super pod is not ready: {state}",
        "wanted: UP, with an address",
        "see it: `hccn_tool -i N -vnic -g`; the super pod's own: `npu-smi info -t spod-info -i CARD -c CHIP`",
    ),
    "hccn.tls_differs": Text(
        "TLS is on for some NPUs and off for others: they do not talk to each other",
        "on: {on}\noff: {off}",
        "make it equal on all nodes, for example off: `for i in $(seq 0 7); do hccn_tool -i $i -tls -s enable 0; done`",
    ),
    "hccn.same_address": Text(
        "two network ports have the same address: {address}",
        "{devices}",
        "give one of them another: `hccn_tool -i N -ip -s address ADDRESS netmask MASK`",
    ),
    "hccn.counts": Text(
        "nodes have different numbers of NPUs",
        "{counts}",
        "every node needs as many as the plan gives it; one that is missing is in no `npu-smi info` either",
    ),
    "hccn.apart": Text(
        "ports of the same NPU on different nodes are in different networks, and not all have a gateway",
        hint="put them into one network, or set gateways: `hccn_tool -i N -gateway -s gateway ADDRESS`",
    ),
    "hccn.routed": Text(
        "ports of the same NPU on different nodes are in different networks: they need the gateways",
        hint="try it: `hccn_tool -i N -ping -g address ADDRESS-ON-THE-OTHER-NODE`",
    ),
    "hccn.not_told": Text(
        "`hccn_tool` does not answer `-{question}`",
        "it says: {answer}",
        "some questions are for root only, others not for every driver",
    ),
}
