from __future__ import annotations

import pytest

from selfhost.hardware import ascend_files

DRIVER = """\
Version=24.1.rc2
ascendhal_version=7.35.23
aicpu_version=1.0
Innerversion=V100R001C18SPC001B233
compatible_version=[V100R001C30],[V100R001C13],[V100R001C15]
compatible_version_fw=[6.4.0,6.4.99],[7.0.0,7.2.99]
package_version=24.1.rc2
"""
INSTALL = """\
UserName=HwHiAiUser
UserGroup=HwHiAiUser
Driver_Install_Type=full
Driver_Install_Path_Param=/opt/Ascend
Driver_Install_For_All=yes
Driver_Install_Status=complete
"""


def test_driver_and_the_firmware_it_goes_with():
    driver = ascend_files.parse_driver(DRIVER)
    assert (driver.version, driver.inner_version) == ("24.1.rc2", "V100R001C18SPC001B233")
    assert driver.firmware_wanted == "6.4.0 to 6.4.99, 7.0.0 to 7.2.99"


@pytest.mark.parametrize(
    ("firmware", "fits"),
    [
        ("7.2.0.1.231", True),
        ("7.2.99.9.999", True),
        # Seen in public: with this pair no memory can be shared between processes (507899).
        ("7.3.0.1.231", False),
        ("6.3.99", False),
        ("6.4.0", True),
        ("7.x", None),
        (None, None),
    ],
)
def test_firmware_is_within_the_ranges(firmware, fits):
    assert ascend_files.parse_driver(DRIVER).takes_firmware(firmware) is fits


def test_a_driver_without_ranges_tells_nothing_of_firmware():
    old = ascend_files.parse_driver("Version=23.0.rc2\n")
    assert (old.firmware_wanted, old.takes_firmware("7.0.0")) == (None, None)


def test_installation():
    info = ascend_files.parse_install(INSTALL)
    assert (info.install_type, info.path, info.status, info.user) == ("full", "/opt/Ascend", "complete", "HwHiAiUser")
    assert ascend_files.parse_install("Driver_Install_Status=\n").status is None
    assert ascend_files.parse_install("") == ascend_files.InstallInfo()


@pytest.mark.parametrize(
    ("content", "version"),
    [
        ("Version=25.7.rc1.6\nInnerversion=V1\n", "25.7.rc1.6"),
        ("package_name=Ascend-cann-toolkit\nversion=9.1.0\ninnerversion=V100R001C25\n", "9.1.0"),
        ("version=[8.3.RC2]\n", "8.3.RC2"),
        ("nothing here", None),
    ],
)
def test_versions_of_packages(content, version):
    assert ascend_files.parse_version(content) == version


def test_nodes():
    names = ["davinci10", "davinci2", "davinci_manager", "davinci_manager_docker", "davinci0", "null", "davinci1x"]
    assert ascend_files.nodes(names) == (0, 2, 10)
