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
