"""The failures of Ascend that people report most, by their words: 23 kinds, and whole excerpts of public issues."""

# ruff: noqa: E501 - lines of logs as they are

from __future__ import annotations

import pytest

from selfhost.doctor import log

A = "diagnose_ascend."
FAILURES = {
    1: [("RuntimeError: Failed to infer device type", "diagnose.device"), ("ImportError: libhccl.so: cannot open shared object file: No such file or directory", A + "library")],
    2: [("RuntimeError: Current device type: AscendDeviceType.A3 does not match the installed version's device type: AscendDeviceType.A2, please check your installation package.", A + "family")],
    3: [("dcmi module initialize failed. ret is -8005", A + "held")],
    4: [("AssertionError: local_world_size (8) must be less than or equal to the number of visible devices (0).", A + "no_devices")],
    5: [("ValueError: Free memory on device (8.0/64.0 GiB) on startup is less than desired GPU memory utilization (0.9, 57.6 GiB).", "diagnose.memory_in_use")],
    6: [
        ("INFO 11-01 09:00:00 [worker.py:1] Available KV cache memory: -0.87 GiB", "diagnose.no_kv_memory"),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`", "diagnose.no_kv_memory"),
        ("ValueError: To serve at least one request with the model's max seq len (32768), (17.26 GiB KV cache is needed, which is larger than the available KV cache memory (17.2 GiB).", "diagnose.kv_too_small"),
    ],
    7: [("NPU function error: c10_npu::acl::AclmdlRICaptureBegin(capture_stream_, capture_mode), error code is 207008", A + "streams")],
    8: [("RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB", "diagnose.out_of_memory"), ("runtime result = 207018", A + "memory")],
    9: [("HCCL_BUFFSIZE is too SMALL, maxBs = 512", A + "buffer"), ("call aclnnMoeDistributeDispatchV3 failed, error code is 561002", A + "dispatch")],
    10: [("EI0006: Getting socket times out.", A + "connect_timeout"), ("EI0002: notify wait", A + "notify_timeout"), ("Some ranks tlsStatus are inconsistent", A + "tls"), ("EJ0003: bind fail", A + "hccl_port"), ("hcclCommInitRootInfoConfig(x), error code is 11", A + "hccl_init")],
    11: [("ModuleNotFoundError: No module named 'vllm.v1.attention.backends.mla.prefill'", A + "pair"), ("ERROR 04-16 13:55:44 __init__.py:46] Failed to load plugin ascend", A + "pair"), ("No platform detected, vLLM is running on UnspecifiedPlatform", "diagnose.no_platform")],
    12: [("ModuleNotFoundError: No module named 'triton.runtime.libentry'", A + "triton")],
    13: [("ValueError: awq quantization is currently not supported in npu.", "diagnose.quantization")],
    14: [("ERROR: ModelSlim Quantization Config Not Found", A + "not_quantized"), ("error: argument --quantization: invalid choice: 'ascend'", A + "no_flag")],
    15: [("binary_info_config.json of this op is missing", A + "first_generation")],
    16: [("packaging.version.InvalidVersion: Invalid version: 'dev'", A + "invalid_version")],
    17: [("ImportError: libop_plugin_atb.so: undefined symbol: _ZN2at", A + "symbol"), ("aclInit(nullptr), error code is 507008", A + "device_error")],
    18: [("INFO 01-05 09:00:00 [shm_broadcast.py:466] No available shared memory broadcast block found in 60 seconds.", "diagnose.stuck")],
    19: [("numHeads / numKvHeads = 16, MLA only support {32, 64, 128}", A + "mla_heads")],
    20: [("failed to register layer: invalid tar header", A + "image"), ('docker: Error response from daemon: failed to create shim task: OCI runtime create failed: mounting "shm" to rootfs at "/dev/shm": operation not permitted', A + "not_permitted")],
    21: [("OSError: ascend_transport.so: cannot open", A + "mooncake"), ("zmq.error.ZMQError: Address already in use", "diagnose.port")],
    22: [("_C::rotary_embedding: no Meta kernel", A + "float16"), ("INFO 1-1 worker] Available KV cache memory: 9.10 GiB (halved for workspace)", A + "halved")],
    23: [("AssertionError: EPLB must used in expert parallelism.", A + "eplb"), ("ValueError: data_parallel_external_lb can only be set when data_parallel_size > 1", A + "data_parallel")],
}  # fmt: skip
CASES = [(number, line, message_id) for number, lines in FAILURES.items() for line, message_id in lines]


@pytest.mark.parametrize(("number", "line", "message_id"), CASES, ids=lambda value: str(value)[:30])
def test_each_kind_of_failure_is_recognised(number, line, message_id):
    reading = log.read([["(EngineCore pid=1) INFO 11-01 09:00:00 [x.py:1] Platform plugin ascend is activated", line]])
    first = reading.cause or reading.others[0]
    assert first.message.id == message_id, number
    assert first.message.hint


def test_there_are_23():
    assert list(FAILURES) == list(range(1, 24))


# vllm-project/vllm-ascend issues: excerpts with several lines, of which one is the cause.
EXCERPTS = {
    "9691": ("""\
capture_begin:../torch_npu/csrc/core/npu/NPUGraph.cpp:230 NPU function error: c10_npu::acl::AclmdlRICaptureBegin(capture_stream_, capture_mode), error code is 207008
[ERROR] 2026-06-04-10:17:18 (PID:46706, Device:0, RankID:-1) ERR00100 PTA call acl api failed
[Error]: Stream resources are insufficient.
        Check whether the number of streams meets the requirements by referring to the description of the acl.rt.create_stream interface.
[PID: 46706] 2026-06-04-10:17:18.891.861 Insufficient_Stream_Resources(EL0009): The stream resources are insufficient.
        Solution: Close applications not in use.
        TraceBack (most recent call last):
        rtStreamBeginCapture execution failed, reason=driver error:no stream resource[FUNC:FuncErrorReason][FILE:error_message_manage.cc][LINE:65]
        begin capture stream failed, runtime result = 207008[FUNC:ReportCallError][FILE:log_inner.cpp][LINE:148]
""", "streams", 1, []),
    "5461": ("""\
[PID: 749] 2025-12-29-03:16:15.787.356 Get_Socket_Timeout(EI0006): Getting socket times out. Reason: 1. The remote does not initiate a connect request. some NPUs in the cluster are abnormal.    2. The remote does not initiate a connect request because the collective communication operator is started too late or is not started by some NPU in the cluster.    3. The communication link is disconnected. (For example, the IP addresses are not on the same network segment or the TLS configurations are inconsistent.)
        Solution: 1. Check the rank service processes with other errors or no errors in the cluster.2. If this error is reported for all NPUs, check whether the time difference between the earliest and latest errors is greater than the connect timeout interval (120s by default). If so, adjust the timeout interval by using the HCCL_CONNECT_TIMEOUT environment variable.
        TraceBack (most recent call last):
        Nnopbase fails to invoke the HcclAllocComResourceByTiling function of the hccl module. ret = 4, comm = 0xfffcc6ed27a0.
""", "connect_timeout", 1, []),
    "1955": ("""\
[ERROR] HCCL(2717288,python3):2025-07-23-03:47:57.070.463 [hccl_socket.cc:100] [2717288][HcclSocket][Listen] socket type[1], listen on ip[192.168.20.160] and specific port[16666] fail. Please check the port status and whether the port is been using by other process.
[ERROR] HCCL(2717288,python3):2025-07-23-03:47:57.070.466 [hccl_socket_manager.cc:54] [2717288][ServerInit]call trace: hcclRet -> 19
[ERROR] HCCL(2717288,python3):2025-07-23-03:49:57.177.194 [hccl_socket_manager.cc:778] [2734049][Wait][LinkEstablish]wait socket establish timeout, role[1] rank[12] timeout[120]
[ERROR] HCCL(2717288,python3):2025-07-23-03:49:57.177.265 [hccl_socket_manager.cc:830] [2734049][Wait][LinksEstablishCompleted] is failed. ret[9].
""", "hccl_port", 1, ["connect_timeout"]),
    "5287": ("""\
(EngineCore_DP0 pid=17833) RuntimeError: npu_moe_distribute_dispatch_v2:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:161 NPU function error: call aclnnMoeDistributeDispatchV3 failed, error code is 561002
(EngineCore_DP0 pid=17833) [ERROR] 2025-12-23-07:36:19 (PID:17833, Device:0, RankID:-1) ERR00100 PTA call acl api failed.
(EngineCore_DP0 pid=17833) EZ9999: Inner Error!
(EngineCore_DP0 pid=17833) EZ9999[PID: 17833] 2025-12-23-07:36:19.237.396 (EZ9999):  HCCL_BUFFSIZE is too SMALL, maxBs = 512, h = 2048, epWorldSize = 2, localMoeExpertNum = 64, NEEDED_HCCL_BUFFSIZE(((maxBs * tokenNeedSizeDispatch * ep_worldsize * localMoeExpertNum)) * 2) = 609MB, HCCL_BUFFSIZE=200MB.[FUNC:MoeDistributeDispatchA3TilingFuncImpl][FILE:moe_distribute_dispatch_v2_tiling.cc][LINE:941]
(EngineCore_DP0 pid=17833)         TraceBack (most recent call last):
(EngineCore_DP0 pid=17833)        MoeDistributeDispatchV2 do tiling failed, ret is -1.
""", "buffer", 4, ["dispatch"]),
    "2629": ("""\
(EngineCore_0 pid=519998) ERROR 08-05 11:23:25 [core.py:632]   File "/home/xxx/miniconda3/envs/atb/lib/python3.10/site-packages/torch_npu/npu/graphs.py", line 210, in capture_begin
(EngineCore_0 pid=519998) ERROR 08-05 11:23:25 [core.py:632]     super().capture_begin(pool=pool, capture_error_mode=capture_error_mode)
(EngineCore_0 pid=519998) ERROR 08-05 11:23:25 [core.py:632] RuntimeError: capture_begin:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:156 NPU function error: c10_npu::acl::AclmdlRICaptureBegin(capture_stream_, capture_mode), error code is 207005
(EngineCore_0 pid=519998) ERROR 08-05 11:23:25 [core.py:632] [ERROR] 2025-08-05-11:23:25 (PID:519998, Device:0, RankID:-1) ERR00100 PTA call acl api failed
(EngineCore_0 pid=519998) ERROR 08-05 11:23:25 [core.py:632] [Error]: Failed to apply for memory.
(EngineCore_0 pid=519998) ERROR 08-05 11:23:25 [core.py:632]         Check the remaining storage space in the hardware environment.
(EngineCore_0 pid=519998) ERROR 08-05 11:23:25 [core.py:632] EL0006: [PID: 519998] 2025-08-05-11:23:25.691.093 The resources are insufficient.
""", "streams", 3, []),
    "2712": ("""\
(VllmWorker rank=1 pid=7226) ERROR 09-03 03:02:37 [multiproc_executor.py:522]     pg.recv([tensor], group_src_rank, tag).wait()
(VllmWorker rank=1 pid=7226) ERROR 09-03 03:02:37 [multiproc_executor.py:522] RuntimeError: create_config:build/CMakeFiles/torch_npu.dir/compiler_depend.ts:148 HCCL function error: hcclCommInitRootInfoConfig(numRanks, &rootInfo, rank, config, &(comm->hcclComm_)), error code is 1
(VllmWorker rank=1 pid=7226) ERROR 09-03 03:02:37 [multiproc_executor.py:522] [ERROR] 2025-09-03-03:02:37 (PID:7226, Device:1, RankID:-1) ERR02200 DIST call hccl api failed.
""", "hccl_init", 2, []),
    "6676": ("""\
the socversion Ascend910B1 of bin package does not match the current device socverison Ascend310P3. Please modify default socversion in run.sh or execute run.sh with socversion parameter.
""", "family", 1, []),
}  # fmt: skip


@pytest.mark.parametrize("issue", EXCERPTS)
def test_excerpts_of_public_issues(issue):
    text, meaning, number, others = EXCERPTS[issue]
    reading = log.read([text.splitlines()])
    assert (reading.cause.message.id, reading.cause.number) == (A + meaning, number)
    assert [seen.message.id for seen in reading.others] == [A + other for other in others]
