"""Sub-commands of npu-smi, against every capture: values were written down from reading the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfhost.hardware import npu_query
from selfhost.hardware.npu_query import Mapped

DATA = Path(__file__).parents[1] / "data" / "ascend"


def read(name: str) -> str:
    return (DATA / f"{name}.txt").read_text()


def test_list():
    assert npu_query.parse_list(read("910B_A2_8npu_info-l_25.5.1")) == (8, tuple(range(8)))
    assert npu_query.parse_list(read("950_doc_info-l")) == (1, (0,))
    assert npu_query.parse_list("\tCard Count                     : 2\n\n\tNPU ID : 4\n\tNPU ID : 8\n") == (2, (4, 8))
    assert npu_query.parse_list("There is no NPU card on this server.") == (None, ())


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "910B4_2npu_info-m_with-Mcu-rows",
            [(0, 0, 0, None, "Ascend 910B4"), (1, 0, 1, None, "Ascend 910B4")],
        ),
        ("910A_8npu_info-m", [(i, 0, i, None, "Ascend 910A") for i in range(8)]),
        ("A3_info-m_with-Mcu-row_fixture", [(i // 2, i % 2, i, i, "Ascend910") for i in range(3)]),
        ("950_doc_info-m_placeholder-names", [(0, 0, None, 0, None)]),
    ],
)
def test_mapping(name, rows):
    found = npu_query.parse_mapping(read(name))
    assert [(m.card_id, m.chip_id, m.logical_id, m.physical_id, m.name) for m in found] == rows


def test_mapping_of_a_whole_a3_has_five_columns():
    header = "".join(f"{name:31}" for name in ("NPU ID", "Chip ID", "Chip Logic ID", "Chip Phy-ID")) + "Chip Name"
    row = "".join(f"{number:<31}" for number in (5, 1, 3, 11)) + "Ascend910"
    assert npu_query.parse_mapping(f"\t{header}\n\t{row}\n") == (
        Mapped(card_id=5, chip_id=1, logical_id=3, physical_id=11, name="Ascend910"),
    )


@pytest.mark.parametrize(
    ("name", "soc", "told"),
    [
        ("910A_info-t-board_i0", None, ("23.0.5", "7.1.0.7.220", "OK", "0000:61:00.0", "0xd801")),
        ("910A_info-t-board_i0_c0", "ascend910a", (None, "7.1.0.7.220", None, "0000:61:00.0", None)),
        ("910B4_info-t-board_i0_c0_excerpt", "ascend910b4", (None, None, None, None, None)),
        ("910B_A2_info-t-board_i0_25.5.1", None, ("25.5.1", "7.8.0.6.201", "OK", "0000:c1:00.0", "0xd802")),
        ("A3_info-t-board_i0_c0_excerpt", "ascend910_9392", (None, None, None, None, None)),
        (
            "950PR_info-t-board_i0_25.7.rc1.6_excerpt",
            *("ascend950pr_9579", ("25.7.rc1.6", "9.0.0.105.229", "OK", "0000:61:00.0", "0xd806")),
        ),
        ("950_doc_info-t-board_placeholder-names", None, (None, None, "OK", "0000:f1:00.0", "0xd806")),
    ],
)
def test_board(name, soc, told):
    board = npu_query.parse_board(read(name))
    assert board.soc_version == soc
    assert (board.driver, board.firmware, board.compatibility, board.bus_id, board.pci_device) == told


def test_links_of_a_full_mesh():
    topology = npu_query.parse_topology(read("910B3_8npu_info-t-topo"))
    assert (topology.counted_by, topology.kinds, len(topology.links)) == ("NPU", ("HCCS",), 56)
    assert (topology.cpus[0], topology.cpus[7]) == ("144-167", "48-71")


def test_links_of_dies():
    topology = npu_query.parse_topology(read("A3_2die_info-t-topo"))
    assert (topology.counted_by, topology.cpus) == ("Phy-ID", {})
    assert topology.links == {(12, 13): "SIO", (13, 12): "SIO"}
    rows = npu_query.parse_topology(read("A3_4die_info-t-topo_first-rows-fixture"))
    assert rows.kinds == ("HCCS_SW", "SIO")
    assert rows.links[2, 3] == rows.links[3, 2] == "SIO"
    assert rows.links[2, 12] == "HCCS_SW"


@pytest.mark.parametrize(
    ("name", "kinds", "first"),
    [
        ("950_doc_info-t-topo_SYS", ("SYS",), "SYS"),
        ("950_doc_info-t-topo_UB-pairs", ("SYS", "UB"), "UB"),
        ("950_doc_info-t-topo_UB-quads", ("SYS", "UB"), "UB"),
    ],
)
def test_links_of_950(name, kinds, first):
    topology = npu_query.parse_topology(read(name))
    assert (topology.kinds, topology.links[0, 1], len(topology.links)) == (kinds, first, 56)
    assert topology.links[0, 4] == "SYS"
    assert (topology.cpus[3], topology.cpus[4]) == ("0-63,128-191", "64-127,192-255")


def test_links_of_network_cards_are_left_out():
    text = "\t   NPU0       NPU1       NIC0       CPU Affinity\n"
    text += "NPU0 X HCCS PIX 0-23\nNPU1 HCCS X SYS 0-23\nNIC0 PIX SYS X\n"
    assert npu_query.parse_topology(text).links == {(0, 1): "HCCS", (1, 0): "HCCS"}


def test_links_of_drivers_with_other_names():
    # hicann/driver npu_info_print_ch.c calls HCCS and HCCS_SW so.
    text = "\t   NPU0       NPU1       NPU2\nNPU0 X XLink XLink_SW\nNPU1 XLink X NA\nNPU2 XLink_SW NA X\n"
    assert npu_query.parse_topology(text).kinds == ("NA", "XLink", "XLink_SW")


def test_a_row_that_is_cut_is_left_out():
    text = "\t   NPU0       NPU1       NPU2\nNPU0 X HCCS HCCS\nNPU1 HCCS\nNPU2 HCCS HCCS X\n"
    assert {mine for mine, _ in npu_query.parse_topology(text).links} == {0, 2}


def test_figures():
    usages = npu_query.figures(read("910B_A2_info-t-usages_i0_25.5.1"))
    assert (usages["HBM Capacity(MB)"], usages["HBM Usage Rate(%)"], usages["NPU Utilization(%)"]) == (65536, 5, 0)
    old = npu_query.figures(read("910A_info-t-usages_i0"))
    assert (old["DDR Capacity(MB)"], old["HBM Capacity(MB)"]) == (13553, 31129)
    assert npu_query.figures(read("950_doc_info-t-usages"))["HBM Capacity(MB)"] == 131072
    memory = npu_query.figures(read("950_doc_info-t-memory"))
    assert (memory["DDR Capacity(MB)"], memory["HBM Clock Speed(MHz)"]) == (0, 3200)
    common = npu_query.figures(read("950_doc_info-t-common"))
    assert (common["Aicore Count"], common["Aicore Freq(MHZ)"]) == (32, 1650)
    assert npu_query.figures(read("A3_SuperPoD384_info-t-spod-info_i0_c0")) == {
        "SDID": 167772160,
        "Super Pod Size": 384,
        "Super Pod ID": 0,
        "Server Index": 40,
    }
    assert npu_query.figures(read("950_doc_info-t-spod-info_unsupported")) == {}
    assert npu_query.figures(read("910B_A2_info-t-temp_i0_25.5.1"))["NPU Temperature (C)"] == 39
    assert npu_query.fields(read("910B_A2_info-t-power_i0_25.5.1"))["NPU Real-time Power(W)"] == "103.5"
    two = npu_query.figures("\tHBM Usage Rate(%) : 3\n\tChip ID : 0\n\n\tHBM Usage Rate(%) : 90\n\tChip ID : 1\n")
    assert two == {"HBM Usage Rate(%)": 3, "Chip ID": 0}
    ecc = "\tHBM Single Bit Error Count               : 3\n\tHBM Double Bit Isolated Pages Count      : 1\n"
    assert npu_query.figures(ecc) == {"HBM Single Bit Error Count": 3, "HBM Double Bit Isolated Pages Count": 1}


def test_health():
    assert npu_query.parse_health(read("910A_info-t-health_i0_c0")) == npu_query.Health(status="OK")
    assert npu_query.parse_health(read("950_doc_info-t-health")) == npu_query.Health(status="OK")
    sick = "\tHealth Status                  : Alarm\n\tError Code                     : 80CB8009 a6193206\n"
    assert npu_query.parse_health(sick) == npu_query.Health(status="Alarm", codes=("80CB8009", "A6193206"))


def test_processes():
    assert npu_query.parse_processes(read("950_doc_info-t-proc-mem")) == ((395864, "power_test", 5118),)
    assert npu_query.parse_processes("\tNo process in device.\n") == ()
