# Rendered by selfhost 0.1.0: qwen2.5-72b (bf16) on 8x910B3-64G, vllm-ascend 0.23.0.
# plan ed54fc9d1b5a; `selfhost render --lint` checks it, `--check` compares it.
# Runs a command with what the scripts of CANN and NNAL set, which a unit cannot source.
# Installed elsewhere than under /usr/local/Ascend: change `root`. It has not been run on a device.
root=/usr/local/Ascend
command=("$@")
# What is sourced would take the words of the command for its own.
set --
toolkit=$root/ascend-toolkit/set_env.sh
[ -r "$toolkit" ] || toolkit=$root/cann/set_env.sh
for script in "$toolkit" "$root/nnal/atb/set_env.sh"; do
    [ -r "$script" ] || { echo "$script is not there, or may not be read by $(id -un)" >&2; exit 78; }
done
source "$toolkit"
# The ABI of the engine's torch, which the script would import torch to learn.
source "$root/nnal/atb/set_env.sh" --cxx_abi=1
for folder in "$root"/driver/lib64/common "$root"/driver/lib64/driver; do
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
export LD_LIBRARY_PATH
exec "${command[@]}"
