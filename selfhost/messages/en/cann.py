"""Messages about what an engine for Ascend needs of CANN, NNAL and the driver to start."""

from selfhost.messages import Text

MESSAGES = {
    "cann.no_toolkit": Text(
        "CANN is not here: no `set_env.sh` of its toolkit",
        "looked for: {looked}",
        "install Ascend-cann-toolkit and the operators of your chip, or use the image of vllm-ascend; where it lies "
        "elsewhere, name it: `export ASCEND_HOME_PATH=DIRECTORY`",
    ),
    "cann.no_nnal": Text(
        "NNAL is not here: no `set_env.sh` of ATB",
        "looked for: {looked}",
        "install Ascend-cann-nnal of the same version as CANN, or use the image of vllm-ascend; where it lies "
        "elsewhere, name it: `export ATB_HOME_PATH=DIRECTORY`",
    ),
    "cann.not_readable": Text(
        "`{script}` cannot be read by uid {uid}",
        hint="run as the user who installed CANN or one of its group, or install it again for all users: "
        "`--install-for-all`",
    ),
    "cann.no_bash": Text(
        "`bash` is not here, which CANN's script is written for", "the script: `{script}`", "install bash"
    ),
    "cann.hangs": Text(
        "the scripts that set CANN's variables do not end",
        "no end within {seconds} s: {scripts}",
        "run them in a shell to see what they wait for",
    ),
    "cann.script_fails": Text(
        "the scripts that set CANN's variables fail",
        "{scripts}: exit status {status}; last words: {detail}",
        "run them in a shell; an empty `/etc/ascend_install.info` in a container ends the one of CANN 9: mount the "
        "host's file",
    ),
    "cann.not_set": Text(
        "`{script}` does not set `{variable}` to a directory that is there",
        "it is {value}",
        "the installation is not whole, or its files were moved: install it again",
    ),
    "cann.no_driver_library": Text(
        "`{library}` of the Ascend driver is not here",
        "not in any of: {path}",
        "install the driver; in a container, mount `/usr/local/Ascend/driver/lib64` of the host",
    ),
    "cann.no_library": Text(
        "`{library}` of CANN is not here",
        "not in any of: {path}",
        "the toolkit is not whole: install it again, or use the image of vllm-ascend",
    ),
    "cann.no_nnal_library": Text(
        "`{library}` of NNAL is not here",
        "not in any of: {path}",
        "install Ascend-cann-nnal again, of the same version as CANN, or use the image of vllm-ascend",
    ),
}
