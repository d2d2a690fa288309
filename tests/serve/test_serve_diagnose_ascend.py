"""Root causes on Ascend: lines out of public issues (vllm-project/vllm-ascend), and what looks like them and is none."""

# ruff: noqa: E501, FLY002 - lines of logs as they are

from __future__ import annotations

import pytest

from selfhost.messages import Message, lookup
from selfhost.serve.diagnose import CLUES, RULES, find_cause, read_clue, read_line
from selfhost.serve.fingerprints_ascend import ASCEND

A = "diagnose_ascend."
# (line, what it means): each rule has one; `#N` are issues.
LINES = [
    ("ImportError: libascend_hal.so: cannot open shared object file: No such file or directory", "library"),
    ("ImportError: libatb.so: cannot open shared object file: No such file or directory", "library"),
    ("RuntimeError: Can't get ascend_hal device count", "library"),
    # #2698, Ascend/cann-container-image#46
    ("dcmi module initialize failed. ret is -8005", "held"),
    ("dcmi model initialized failed, because the device is used. ret is -8020", "held"),
    ("EJ0001: [PID: 17] Failed to initialize the HCCP process. Reason: Maybe the last training process is running.", "held"),
    # #14628
    ("AssertionError: local_world_size (8) must be less than or equal to the number of visible devices (0).", "no_devices"),
    # vllm_ascend/utils.py @ 0.23.0
    ("RuntimeError: Current device type: AscendDeviceType.A3 does not match the installed version's device type: AscendDeviceType.A2, please check your installation package.", "family"),
    # #6676
    ("the socversion Ascend910B1 of bin package does not match the current device socverison Ascend310P3. Please modify default socversion in run.sh or execute run.sh with socversion parameter.", "family"),
    ("        Cannot find binary for op X, [binary_info_config.json] not found", "first_generation"),
    # #540
    ("ERROR 04-16 13:55:44 __init__.py:46] Failed to load plugin ascend", "pair"),
    # #9305
    ("ModuleNotFoundError: No module named 'vllm.v1.attention.backends.mla.prefill'", "pair"),
    ("ImportError: cannot import name 'x' from 'vllm' (unknown location)", "pair"),
    ("ModuleNotFoundError: No module named 'triton.runtime.libentry'", "triton"),
    ("ERROR: No matching distribution found for triton-ascend==3.2.2", "triton"),
    ("packaging.version.InvalidVersion: Invalid version: 'dev'", "invalid_version"),
    ("ImportError: /opt/libop_plugin_atb.so: undefined symbol: _ZN3c104implE", "symbol"),
    # vllm_ascend/quantization/modelslim_config.py @ 0.23.0
    ("ERROR: ModelSlim Quantization Config Not Found", "not_quantized"),
    ("api_server.py: error: argument --quantization/-q: invalid choice: 'ascend' (choose from 'aqlm')", "no_flag"),
    ("TypeError: AscendCompressedTensorsConfig.__init__() missing 3 required positional arguments: 'a', 'b', and 'c'", "not_compressed"),
    ("NotImplementedError: Currently, vLLM Ascend doesn't support quant_type=W4A4 for layer_type=moe. ", "scheme"),
    ("RuntimeError: numHeads / numKvHeads = 16, MLA only support {32, 64, 128}", "mla_heads"),
    ("        bfloat16 is not supported on Ascend310P3", "float16"),
    ("NotImplementedError: _C::rotary_embedding: attempted to run this operator with Meta tensors", "float16"),
    ("AssertionError: EPLB must used in expert parallelism.", "eplb"),
    ("ValueError: data_parallel_external_lb can only be set when data_parallel_size > 1", "data_parallel"),
    # #2629, #8393
    ("(EngineCore_0 pid=519998) ERROR 08-05 11:23:25 [core.py:632] RuntimeError: capture_begin:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:156 NPU function error: c10_npu::acl::AclmdlRICaptureBegin(capture_stream_, capture_mode), error code is 207005", "streams"),
    ("(EngineCore pid=1802921) EE9999[PID: 1802934] 2026-04-17-09:16:39.992.922 (EE9999):  [SqCqManage]Alloc sq cq fail, stream_id=1984, retCode=0x7020023.[FUNC:Setup]", "streams"),
    # #9691
    ("[PID: 46706] 2026-06-04-10:17:18.891.861 Insufficient_Stream_Resources(EL0009): The stream resources are insufficient.", "streams"),
    ("        begin capture stream failed, runtime result = 207008[FUNC:ReportCallError][FILE:log_inner.cpp][LINE:148]", "streams"),
    # #9564: two processes put their names in front
    ("(vLLMHttpServer pid=77054) (Worker_TP3 pid=78100) ERROR 04-20 21:27:00 [multiproc_executor.py:932]        stream wait event failed, runtime result = 207005[FUNC:ReportCallError]", "streams"),
    ("RuntimeError: npuSynchronizeDevice NPU function error: aclrtSynchronizeDevice, error code is 207018", "memory"),
    # #5287, #16835
    ("(EngineCore_DP0 pid=17833) EZ9999[PID: 17833] 2025-12-23-07:36:19.237.396 (EZ9999):  HCCL_BUFFSIZE is too SMALL, maxBs = 512, h = 2048, epWorldSize = 2, NEEDED_HCCL_BUFFSIZE(((maxBs * tokenNeedSizeDispatch) + (maxBs)) * 2) = 609MB, HCCL_BUFFSIZE=200MB.[FUNC:MoeDistributeDispatchA3TilingFuncImpl]", "buffer"),
    ("        HCCL_BUFFSIZE_EP is too SMALL, maxBs = 64, h = 6144,NEEDED_HCCL_BUFFSIZE_HIERARCHY((moeExpertNum * maxBs * (h * MAX_OUT_DTYPE_SIZE) + 404 * 1024 * 1024)) = 600MB, HCCL_BUFFSIZE=256MB.[FUNC:CheckActualWinSize]", "buffer"),
    # #2674
    ("        The DDR address of the MTE instruction is out of range", "buffer"),
    ("ValueError: HCCL_BUFFSIZE should be positive", "bad_buffer"),
    ("[ERROR] HCCL(1,python3):2026-05-21-21:39:58.706 [rank.cc:1] Some ranks tlsStatus are inconsistent", "tls"),
    ("[ERROR] HCCL(1,python3):2026-05-21-21:39:58.706 [ip.cc:1] get host ip fail by socket Ifname[eth9]", "interface"),
    # #1955
    ("[ERROR] HCCL(2717288,python3):2025-07-23-03:47:57.070.463 [hccl_socket.cc:100] [2717288][HcclSocket][Listen] socket type[1], listen on ip[192.168.20.160] and specific port[16666] fail. Please check the port status and whether the port is been using by other process.", "hccl_port"),
    ("EJ0003: [PID: 3] Failed to bind the IP port. Reason: The IP address and port have been bound already.", "hccl_port"),
    ("EI0014: [PID: 9] The rank table file is invalid", "rank_table"),
    ("[ERROR] HCCL(2717288,python3):2025-07-23-03:49:57.177.194 [hccl_socket_manager.cc:778] [2734049][Wait][LinkEstablish]wait socket establish timeout, role[1] rank[12] timeout[120]", "connect_timeout"),
    # #5461, #486
    ("[PID: 749] 2025-12-29-03:16:15.787.356 Get_Socket_Timeout(EI0006): Getting socket times out. Reason: 1. The remote does not initiate a connect request.", "connect_timeout"),
    ("[rank1]: EI0006: [PID: 1292363] 2025-04-08-18:07:20.444.436 Getting socket times out. Reason: Remote Rank did not send the data in time.", "connect_timeout"),
    ("EI0002: [PID: 4] The wait execution of the Notify register times out.", "notify_timeout"),
    # #3162
    ("[rank1]: EI0009: [PID: 2225827] 2025-09-24-20:59:48.119.066 Transport init error. Reason: [Create][DestLink]Create Dest error!", "link"),
    # #2712
    ("(VllmWorker rank=1 pid=7226) ERROR 09-03 03:02:37 [multiproc_executor.py:522] RuntimeError: create_config:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:148 HCCL function error: hcclCommInitRootInfoConfig(numRanks, &rootInfo, rank, config, &(comm->hcclComm_)), error code is 1", "hccl_init"),
    ("RuntimeError: Initialize:torch_npu/csrc/core/npu/sys_ctrl/npu_sys_ctrl.cpp:217 NPU function error: aclInit(nullptr), error code is 507008", "device_error"),
    ("RuntimeError: Initialize mooncake failed", "mooncake"),
    ("RuntimeError: Failed to allocate memory, size 1, error 207001", "mooncake"),
    ("Error response from daemon: archive/tar: invalid tar header", "image"),
    # FAQ 20; the words of the container engine around it are ours
    ('docker: Error response from daemon: failed to create shim task: OCI runtime create failed: mounting "shm" to rootfs at "/dev/shm": operation not permitted', "not_permitted"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "meaning"), LINES, ids=lambda value: str(value)[:40])
def test_lines_of_public_issues(line, meaning):
    found = read_line(line)
    assert found.message_id == A + meaning
    values = {"name": "N", "model": "M", "phase": "loading", "line": found.line, **found.params}
    message = Message(found.message_id, values)
    assert message.what.startswith("`N` failed while loading: ")
    assert message.hint
    assert message.why.endswith(found.line)


def test_each_rule_has_a_line_here():
    assert {A + meaning for _, meaning in LINES} == {rule.message_id for rule in ASCEND}


CLUE_LINES = [
    ("RuntimeError: npu_moe_distribute_dispatch_v2:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:161 NPU function error: call aclnnMoeDistributeDispatchV3 failed, error code is 561002", "diagnose_ascend.dispatch"),
    ("WARNING 05-01 10:00:00 [w8a8.py:1] [vllm-ascend/W8A8_DYNAMIC] MC2 group metadata unavailable, using all-gather", "diagnose_ascend.no_mc2"),
    ("WARNING 05-01 10:00:00 [sampler.py:1] [sample/sampler] Triton not available, falling back to vLLM default ", "diagnose_ascend.no_triton"),
    ("INFO 05-01 10:00:00 [worker_310p.py:119] Available KV cache memory: 9.10 GiB (halved for workspace)", "diagnose_ascend.halved"),
    ("WARNING 05-01 10:00:00 [cpu_binding.py:9] Bind cpus failed in rank0: x Skip binding cpu.", "diagnose_ascend.unbound"),
    # #130, #5876, #9372
    ("INFO 02-23 00:50:03 __init__.py:187] No platform detected, vLLM is running on UnspecifiedPlatform", "diagnose.no_platform"),
    ("INFO 01-05 09:00:00 [shm_broadcast.py:466] No available shared memory broadcast block found in 60 seconds.", "diagnose.stuck"),
    ("INFO 12-01 09:00:00 [worker.py:1] Available KV cache memory: -0.87 GiB", "diagnose.no_kv_memory"),
    ("(APIServer pid=1) WARNING 11-22 04:01:55 [system_utils.py:255] Found ulimit of 1024 and failed to automatically increase with error", "diagnose.few_files"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message_id"), CLUE_LINES, ids=lambda value: str(value)[:40])
def test_symptoms_are_told_and_are_no_cause(line, message_id):
    assert read_clue(line).message_id == message_id
    assert read_line(line) is None


def test_each_clue_has_a_line_here():
    assert {message_id for _, message_id in CLUE_LINES} == {rule.message_id for rule in CLUES}


HARMLESS = [
    "INFO 05-01 10:00:00 [platform.py:1] HCCL_BUFFSIZE is too SMALL is what you would see",
    "WARNING 05-01 10:00:00 [x.py:1] HCCL_BUFFSIZE should be positive",
    "[WARNING] HCCL(1,python3):2025-07-23 [x.cc:1] wait socket establish timeout, retry",
    "[EVENT] HCCL(1,python3):2025-07-23 [x.cc:1] bind fail, next port",
    '    raise ImportError("cannot import name \'x\' from \'vllm\'")',
    "        self.assertEqual(quant_type, 'EPLB must used in expert parallelism')",
    'INFO:     127.0.0.1:52814 - "POST /v1/chat/completions HTTP/1.1" 200 OK EI0006',
    "Available KV cache memory: 54.98 GiB",
    "loaded 507 tensors, error code is 0",
    "Free memory on device (60.61/60.96 GiB) on startup. Desired GPU memory utilization is (0.9, 54.86 GiB).",
]  # fmt: skip


@pytest.mark.parametrize("line", HARMLESS)
def test_what_only_looks_like_a_cause(line):
    assert read_line(line) is None


def test_numbers_of_the_buffer_reach_the_message():
    found = find_cause("\n".join(line for line, meaning in LINES if meaning == "buffer"))
    assert (found.params["needed"], found.params["found"]) == ("609", "200")


def test_free_memory_of_an_npu_has_no_device_in_its_line():
    found = read_line(
        "ValueError: Free memory on device (8.0/64.0 GiB) on startup is less than desired GPU memory utilization (0.9, 57.6 GiB). Decrease GPU memory utilization."
    )
    assert (found.message_id, found.params["free"]) == ("diagnose.memory_in_use", "8.0")


def test_the_first_rank_that_fails_is_the_cause():
    log = "\n".join((
        "(Worker pid=1) ERROR 05-21 21:39:58 [w.py:1] EZ9999[PID: 1] (EZ9999):  HCCL_BUFFSIZE is too SMALL, x = 609MB, HCCL_BUFFSIZE=200MB.",
        "[rank1]: EI0006: [PID: 2] Getting socket times out.",
        "RuntimeError: Engine core initialization failed.",
    ))  # fmt: skip
    assert find_cause(log).message_id == "diagnose_ascend.buffer"


CUDA_LINES = [
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 803: system has unsupported display driver / cuda driver combination", "cuda_libraries"),
    ("Failed to initialize NVML: Driver/library version mismatch", "cuda_libraries"),
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward compatibility was attempted on non supported HW", "cuda_compat"),
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized", "cuda_fabric"),
    ("RuntimeError: The NVIDIA driver on your system is too old (found version 12020).", "cuda_driver_old"),
    ("RuntimeError: CUDA error: the provided PTX was compiled with an unsupported toolchain.", "cuda_driver_old"),
    ("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered", "gpu_broken"),
    ("torch.AcceleratorError: CUDA error: an illegal memory access was encountered", "gpu_crashed"),
    ("RuntimeError: CUDA error: peer access is not supported between these two devices", "peer_access"),
    ("ncclSystemError: Error while creating shared memory segment /dev/shm/nccl-k (size 5767520)", "shared_memory"),
    ("Bus error (core dumped)", "shared_memory"),
    ("pydantic_core._pydantic_core.ValidationError: 1 validation error for SpeculativeConfig", "speculative"),
    ("ValueError: awq quantization is currently not supported in npu.", "quantization"),
    ("KeyError: 'model.layers.3.mlp.experts.12.down_proj.weight'", "weights_missing"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "meaning"), CUDA_LINES, ids=lambda value: str(value)[:40])
def test_lines_of_cuda_and_of_vllm(line, meaning):
    assert read_line(line).message_id == f"diagnose.{meaning}"


@pytest.mark.parametrize("rule", [*RULES, *CLUES], ids=lambda rule: rule.message_id)
def test_sentences_of_all_rules_begin_alike(rule):
    """`doctor --log` tells the same sentence without its beginning, since it knows neither name nor phase."""
    assert lookup(rule.message_id).what.startswith("`{name}` failed while {phase}: ")
