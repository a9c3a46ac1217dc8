#define _GNU_SOURCE
#include "ort.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

OrtFunctions ort;
OrtEnv *ort_env;
OrtMemoryInfo *ort_cpu;
OrtAllocator *ort_allocator;
bool ort_global_threads;

/* Returns the name of the first function that the table lacks, NULL if it has all. */
static const char *fill(const void *const *table)
{
#define FILL(slot, result, name, parameters)                                                       \
    if (!table[slot])                                                                              \
        return #name;                                                                              \
    memcpy(&ort.name, &table[slot], sizeof ort.name);
    ORT_FUNCTIONS(FILL)
#undef FILL
    return NULL;
}

const char *ort_open(const char *path, char *message, size_t size)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(message, size, "cannot load ONNX Runtime: %s", dlerror());
        return NULL;
    }
    /* The library stays loaded: its threads and static objects do not survive an unloading. */
    const OrtBase *(*get_base)(void);
    void *symbol = dlsym(library, "OrtGetApiBase");
    if (!symbol) {
        snprintf(message, size, "%s is no ONNX Runtime: it has no OrtGetApiBase", path);
        return NULL;
    }
    memcpy(&get_base, &symbol, sizeof get_base);
    const OrtBase *base = get_base();
    const char *version = base->get_version_string();
    const void *const *table = base->get_api(ORT_API_VERSION);
    if (!table) {
        snprintf(message, size,
                 "%s is ONNX Runtime %s, which has no API %d; 1.%d or newer is needed", path,
                 version, ORT_API_VERSION, ORT_API_VERSION);
        return NULL;
    }
    const char *missing = fill(table);
    if (missing) {
        snprintf(message, size, "%s is ONNX Runtime %s, whose function table has no %s", path,
                 version, missing);
        return NULL;
    }
    return version;
}

static void log_line(void *context, int severity, const char *category, const char *id,
                     const char *place, const char *text)
{
    (void)context;
    (void)category;
    int level = severity >= ORT_LOG_ERROR     ? TR_LOG_ERROR
                : severity == ORT_LOG_WARNING ? TR_LOG_WARN
                                              : TR_LOG_VERBOSE;
    say(level, "ONNX Runtime%s%s: %s [%s]", id && *id ? " " : "", id ? id : "", text, place);
}

static TrError *start_with_threads(const OrtSettings *settings, int level)
{
    OrtThreadingOptions *threads;
    TRY(checked(ort.CreateThreadingOptions(&threads)));
    TrError *error = NULL;
    if (settings->intra_threads > 0)
        error = checked(ort.SetGlobalIntraOpNumThreads(threads, settings->intra_threads));
    if (!error && settings->inter_threads > 0)
        error = checked(ort.SetGlobalInterOpNumThreads(threads, settings->inter_threads));
    if (!error)
        error = checked(ort.CreateEnvWithCustomLoggerAndGlobalThreadPools(log_line, NULL, level, "",
                                                                          threads, &ort_env));
    ort.ReleaseThreadingOptions(threads);
    return error;
}

TrError *ort_start(const OrtSettings *settings)
{
    int level = TRITONSERVER_LogIsEnabled(TR_LOG_VERBOSE) ? ORT_LOG_INFO : ORT_LOG_WARNING;
    ort_global_threads = settings->global_threads;
    if (settings->global_threads)
        TRY(start_with_threads(settings, level));
    else
        TRY(checked(ort.CreateEnvWithCustomLogger(log_line, NULL, level, "", &ort_env)));
    TRY(checked(ort.CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR, ORT_MEMORY_DEFAULT, &ort_cpu)));
    return checked(ort.GetAllocatorWithDefaultOptions(&ort_allocator));
}

void ort_stop(void)
{
    if (ort_cpu)
        ort.ReleaseMemoryInfo(ort_cpu);
    if (ort_env)
        ort.ReleaseEnv(ort_env);
    ort_cpu = NULL;
    ort_env = NULL;
}

TrError *ort_shape(const OrtTensorInfo *info, const char *what, Shape *shape)
{
    TRY(checked(ort.GetDimensionsCount(info, &shape->rank)));
    if (shape->rank > MAX_RANK)
        return fail(TR_UNSUPPORTED, "'%s' has %zu dimensions, more than %d", what, shape->rank,
                    MAX_RANK);
    return checked(ort.GetDimensions(info, shape->dims, shape->rank));
}
