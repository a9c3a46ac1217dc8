/* A stand-in for NVIDIA's driver over mmap and memcpy, for tests without a GPU.

What it proves: that every function is called with its arguments in order, of their size (handles and addresses of 64 bits,
sizes of size_t), that memory is copied inside what was allocated, device and pinned host memory apart, that nothing is freed
twice or used after its end, that a context is current, and that nobody reads an answer before the stream was waited for: copies
and launches are only noted, and done when the stream is synchronized.
What it does not prove: anything about a GPU, about NVIDIA's own driver, or about time. */

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef int CUresult;
enum { OK = 0, INVALID_VALUE = 1, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_CONTEXT = 201, INVALID_HANDLE = 400 };
enum { DEVICE_KIND = 1, HOST_KIND = 2, STREAM_MAGIC = 0x57AEA117, EVENT_MAGIC = 0xE7E27 };

typedef struct Block { uint64_t address; size_t size; int kind; struct Block *next; } Block;
typedef struct Operation { void *to; const void *from; size_t size; void (*launch)(void); struct Operation *next; } Operation;
typedef struct { unsigned magic; Operation *first, *last; } Stream;
typedef struct { unsigned magic; double seconds; int recorded; } Event;

static Block *blocks;
static int initialized, retained, live_streams, live_events;
static __thread void *current;
static char context_object;

static int devices(void) { const char *text = getenv("FAKE_GPU_COUNT"); return text ? atoi(text) : 1; }

static Block **find(uint64_t address, size_t size, int kind) {
    for (Block **each = &blocks; *each; each = &(*each)->next)
        if ((*each)->kind == kind && address >= (*each)->address && address + size <= (*each)->address + (*each)->size) return each;
    return NULL;
}

static CUresult allocated(void **address, size_t size, int kind) {
    if (!current) return INVALID_CONTEXT;
    if (!size || !address) return INVALID_VALUE;
    if (size > (size_t)1 << 40) return 2; /* CUDA_ERROR_OUT_OF_MEMORY */
    /* Not from the heap, which lies below 4 GiB in a Python without PIE: a cut address would go unnoticed there. */
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 2;
    memset(memory, 0xAB, size);
    Block *block = malloc(sizeof *block);
    *block = (Block){(uint64_t)memory, size, kind, blocks};
    blocks = block;
    *address = memory;
    return OK;
}

static CUresult freed(uint64_t address, int kind) {
    Block **found = find(address, 1, kind);
    if (!current) return INVALID_CONTEXT;
    if (!found || (*found)->address != address) return INVALID_VALUE;
    Block *block = *found;
    *found = block->next;
    munmap((void *)block->address, block->size);
    free(block);
    return OK;
}

static CUresult noted(Stream *stream, Operation operation) {
    if (!current) return INVALID_CONTEXT;
    if (!stream || stream->magic != STREAM_MAGIC) return INVALID_HANDLE;
    Operation *copy = malloc(sizeof *copy);
    *copy = operation;
    copy->next = NULL;
    if (stream->last) stream->last->next = copy; else stream->first = copy;
    stream->last = copy;
    return OK;
}

CUresult cuInit(unsigned flags) { if (flags) return INVALID_VALUE; if (!devices()) return NO_DEVICE; initialized = 1; return OK; }
CUresult cuDriverGetVersion(int *version) { *version = 12080; return OK; }
CUresult cuDeviceGetCount(int *count) { *count = devices(); return initialized ? OK : NOT_INITIALIZED; }
CUresult cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal < devices() ? OK : 101; }
CUresult cuDeviceGetName(char *name, int size, int device) { (void)device; snprintf(name, (size_t)size, "no GPU, a test's stand-in"); return OK; }
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
    const char *text = getenv("FAKE_GPU_CAPABILITY");
    int major = 8, minor = 9;
    if (text) sscanf(text, "%d.%d", &major, &minor);
    if (device || (attribute != 75 && attribute != 76)) return INVALID_VALUE;
    *value = attribute == 75 ? major : minor;
    return OK;
}
CUresult cuDevicePrimaryCtxRetain(void **context, int device) { if (device) return INVALID_VALUE; retained++; *context = &context_object; return OK; }
CUresult cuDevicePrimaryCtxRelease_v2(int device) { if (device || !retained) return INVALID_VALUE; retained--; return OK; }
CUresult cuCtxSetCurrent(void *context) { if (context && context != &context_object) return INVALID_CONTEXT; current = context; return OK; }
CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total) { *free_bytes = (size_t)5 << 32; *total = (size_t)6 << 32; return OK; }
CUresult cuMemAlloc_v2(uint64_t *address, size_t size) { return allocated((void **)address, size, DEVICE_KIND); }
CUresult cuMemFree_v2(uint64_t address) { return freed(address, DEVICE_KIND); }
CUresult cuMemHostAlloc(void **address, size_t size, unsigned flags) { return flags ? INVALID_VALUE : allocated(address, size, HOST_KIND); }
CUresult cuMemFreeHost(void *address) { return freed((uint64_t)address, HOST_KIND); }

CUresult cuMemcpyHtoDAsync_v2(uint64_t device, const void *host, size_t size, Stream *stream) {
    if (!find(device, size, DEVICE_KIND) || !find((uint64_t)host, size, HOST_KIND)) return INVALID_VALUE;
    return noted(stream, (Operation){.to = (void *)device, .from = host, .size = size});
}
CUresult cuMemcpyDtoHAsync_v2(void *host, uint64_t device, size_t size, Stream *stream) {
    if (!find(device, size, DEVICE_KIND) || !find((uint64_t)host, size, HOST_KIND)) return INVALID_VALUE;
    return noted(stream, (Operation){.to = host, .from = (void *)device, .size = size});
}
/* Not of the driver: how the stand-in for TensorRT puts its work into a stream. */
CUresult fakeLaunch(Stream *stream, void (*launch)(void)) { return noted(stream, (Operation){.launch = launch}); }
int fakeIsDevice(uint64_t address, size_t size) { return find(address, size, DEVICE_KIND) != NULL; }
int fakeLive(void) { int count = live_streams + live_events + retained; for (Block *each = blocks; each; each = each->next) count++; return count; }

CUresult cuStreamCreate(Stream **stream, unsigned flags) {
    if (!current) return INVALID_CONTEXT;
    if (flags > 1) return INVALID_VALUE;
    *stream = calloc(1, sizeof **stream);
    (*stream)->magic = STREAM_MAGIC;
    live_streams++;
    return OK;
}
CUresult cuStreamSynchronize(Stream *stream) {
    if (!stream || stream->magic != STREAM_MAGIC) return INVALID_HANDLE;
    while (stream->first) {
        Operation *each = stream->first;
        stream->first = each->next;
        if (!stream->first) stream->last = NULL;
        if (each->launch) each->launch();
        else memcpy(each->to, each->from, each->size);
        free(each);
    }
    return OK;
}
CUresult cuStreamDestroy_v2(Stream *stream) {
    if (!stream || stream->magic != STREAM_MAGIC || stream->first) return INVALID_HANDLE;
    stream->magic = 0;
    live_streams--;
    return OK;
}
CUresult cuEventCreate(Event **event, unsigned flags) {
    if (flags) return INVALID_VALUE;
    *event = calloc(1, sizeof **event);
    (*event)->magic = EVENT_MAGIC;
    live_events++;
    return OK;
}
CUresult cuEventRecord(Event *event, Stream *stream) {
    struct timespec now;
    if (!event || event->magic != EVENT_MAGIC || !stream || stream->magic != STREAM_MAGIC) return INVALID_HANDLE;
    clock_gettime(CLOCK_MONOTONIC, &now);
    event->seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    event->recorded = 1;
    return OK;
}
CUresult cuEventSynchronize(Event *event) { return event && event->magic == EVENT_MAGIC && event->recorded ? OK : INVALID_HANDLE; }
CUresult cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
    if (start->magic != EVENT_MAGIC || end->magic != EVENT_MAGIC || !start->recorded || !end->recorded) return INVALID_HANDLE;
    *milliseconds = (float)(1e3 * (end->seconds - start->seconds));
    return OK;
}
CUresult cuEventDestroy_v2(Event *event) { if (!event || event->magic != EVENT_MAGIC) return INVALID_HANDLE; event->magic = 0; live_events--; return OK; }
CUresult cuGetErrorName(CUresult code, const char **text) {
    if (code == 9999) return INVALID_VALUE;
    *text = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_OTHER";
    return OK;
}
CUresult cuGetErrorString(CUresult code, const char **text) { *text = code == 2 ? "out of memory" : "another error"; return OK; }
