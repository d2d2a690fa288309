/* A small NVML for tests of selfhost/hardware/nvml.py through NVIDIA's own binding. FAKE_NVML says how it behaves:
   hang, crash, mismatch, or a number of GPUs; GPU 0 has MIG enabled with two slices, the last one is lost when
   FAKE_NVML_LOST is set. Handles are numbers: GPU + 1, slices 100 + n. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;

static int count(void) { return atoi(getenv("FAKE_NVML")); }

int nvmlInitWithFlags(unsigned flags) {
    const char *mode = getenv("FAKE_NVML");
    (void)flags;
    if (!strcmp(mode, "hang")) for (;;) pause();
    if (!strcmp(mode, "crash")) abort();
    return strcmp(mode, "mismatch") ? 0 : 18;
}
const char *nvmlErrorString(int code) {
    return code == 18 ? "Driver/library version mismatch" : code == 15 ? "GPU is lost" : "Not Supported";
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "580.95.05"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; return 0; }
int nvmlDeviceGetCount_v2(unsigned *found) { *found = count(); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, uintptr_t *handle) {
    *handle = index + 1;
    return getenv("FAKE_NVML_LOST") && (int)index == count() - 1 ? 15 : 0;
}
int nvmlDeviceGetName(uintptr_t handle, char *text, unsigned size) {
    snprintf(text, size, handle >= 100 ? "NVIDIA H20 MIG 1g.12gb" : "NVIDIA H20");
    return 0;
}
int nvmlDeviceGetUUID(uintptr_t handle, char *text, unsigned size) {
    snprintf(text, size, "%s-%d", handle >= 100 ? "MIG" : "GPU", (int)handle);
    return 0;
}
int nvmlDeviceGetMemoryInfo_v2(uintptr_t handle, memory_v2 *memory) {
    memory->total = (handle >= 100 ? 11264ULL : 97871ULL) << 20;
    memory->used = 5ULL << 20;
    return 0;
}
int nvmlDeviceGetCudaComputeCapability(uintptr_t handle, int *major, int *minor) {
    (void)handle;
    *major = 9, *minor = 0;
    return 0;
}
int nvmlDeviceGetMigMode(uintptr_t handle, unsigned *current, unsigned *pending) {
    *current = *pending = handle == 1;
    return handle == 1 ? 0 : 3;
}
int nvmlDeviceGetMaxMigDeviceCount(uintptr_t handle, unsigned *most) { (void)handle; *most = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(uintptr_t handle, unsigned index, uintptr_t *slice) {
    (void)handle;
    *slice = 100 + index;
    return index == 1 || index == 4 ? 0 : 6;
}

/* For selfhost/hardware/nvml_health.py: with FAKE_NVML_SICK the last GPU has one of everything, and no pair has peer
   access; without it those functions say that all is well. */
static int sick(uintptr_t handle) { return getenv("FAKE_NVML_SICK") && (int)handle == count(); }

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char text[32]; } pci_info;
typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } process;
typedef struct { unsigned char cluster[16]; int status; unsigned clique, state; } fabric;

int nvmlDeviceGetPciInfo_v3(uintptr_t handle, pci_info *info) {
    memset(info, 0, sizeof *info);
    snprintf(info->text, sizeof info->text, "00000000:%02X:00.0", (unsigned)handle);
    return 0;
}
int nvmlDeviceGetPersistenceMode(uintptr_t handle, unsigned *mode) { *mode = !sick(handle); return 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(uintptr_t handle, unsigned long long *bits) {
    *bits = sick(handle) ? 0x41 : 0x1;
    return 0;
}
int nvmlDeviceGetCurrPcieLinkWidth(uintptr_t handle, unsigned *width) { *width = sick(handle) ? 8 : 16; return 0; }
int nvmlDeviceGetMaxPcieLinkWidth(uintptr_t handle, unsigned *width) { (void)handle; *width = 16; return 0; }
int nvmlDeviceGetComputeMode(uintptr_t handle, unsigned *mode) { *mode = sick(handle) ? 3 : 0; return 0; }
int nvmlDeviceGetGpuFabricInfo(uintptr_t handle, fabric *info) {
    info->state = sick(handle) ? 2 : 3;
    info->status = 0;
    return 0;
}
int nvmlDeviceGetNvLinkState(uintptr_t handle, unsigned link, unsigned *active) {
    *active = !(sick(handle) && link == 3);
    return link < 4 ? 0 : 3;
}
int nvmlDeviceGetComputeRunningProcesses_v3(uintptr_t handle, unsigned *found, process *list) {
    if (!sick(handle)) { *found = 0; return 0; }
    if (!list) { *found = 1; return 7; }
    *found = 1;
    memset(list, 0, sizeof *list);
    list->pid = 4242, list->used = 1ULL << 30;
    return 0;
}
int nvmlDeviceGetEccMode(uintptr_t handle, unsigned *current, unsigned *pending) {
    (void)handle;
    *current = *pending = 1;
    return 0;
}
int nvmlDeviceGetTotalEccErrors(uintptr_t handle, int kind, int counter, unsigned long long *errors) {
    *errors = sick(handle) && kind == 1 ? (counter ? 9 : 2) : 0;
    return 0;
}
int nvmlDeviceGetRemappedRows(uintptr_t handle, unsigned *corrected, unsigned *uncorrected, unsigned *pending,
                              unsigned *failed) {
    *corrected = *uncorrected = *failed = 0;
    *pending = sick(handle);
    return 0;
}
int nvmlDeviceGetP2PStatus(uintptr_t one, uintptr_t other, int index, int *status) {
    (void)one, (void)other, (void)index;
    *status = getenv("FAKE_NVML_SICK") ? 3 : 0;
    return 0;
}
