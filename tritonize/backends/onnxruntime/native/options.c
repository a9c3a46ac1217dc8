#include "options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_THREADS = 4096 }; /* of a session; with too many, ONNX Runtime says std::bad_alloc */

bool parse_int(const char *text, int *value)
{
    char *stop;
    errno = 0;
    long found = strtol(text, &stop, 10);
    if (stop == text || *stop || errno || found < INT_MIN || found > INT_MAX)
        return false;
    *value = (int)found;
    return true;
}

bool parse_bool(const char *text, bool *value)
{
    static const char *const words[] = {"false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i])) {
            *value = i % 2;
            return true;
        }
    return false;
}

/* The text of a parameter, NULL if there is none of that name. */
static const char *parameter(const Json *config, const char *name)
{
    const Json *found = json_get(json_get(config, "parameters"), name);
    return found ? json_text(found, "string_value") : NULL;
}

TrError *read_int(const Json *config, const char *name, int *value)
{
    const char *text = parameter(config, name);
    if (!text || parse_int(text, value))
        return NULL;
    return fail(TR_INVALID_ARG, "parameter %s: expected a whole number, found '%s'", name, text);
}

TrError *read_bool(const Json *config, const char *name, bool *value)
{
    const char *text = parameter(config, name);
    if (!text || parse_bool(text, value))
        return NULL;
    return fail(TR_INVALID_ARG, "parameter %s: expected true or false, found '%s'", name, text);
}

static TrError *set_optimization(const Json *config, OrtSessionOptions *options)
{
    const Json *optimization = json_get(config, "optimization");
    int64_t level = json_whole(json_get(json_get(optimization, "graph"), "level"));
    const Json *accelerators = json_get(optimization, "execution_accelerators");
    static const char *const lists[] = {"cpu_execution_accelerator", "gpu_execution_accelerator"};
    for (size_t i = 0; i < 2; i++) {
        const Json *found = json_first(accelerators, lists[i]);
        if (found)
            return fail(TR_INVALID_ARG,
                        "optimization.execution_accelerators.%s: the embedded server does not "
                        "support '%s'; it runs ONNX models on the CPU provider",
                        lists[i], json_text(found, "name"));
    }
    /* Triton's numbers and ONNX Runtime's differ. */
    int chosen = level == -1  ? ORT_OPTIMIZE_BASIC
                 : level == 1 ? ORT_OPTIMIZE_EXTENDED
                 : level == 2 ? ORT_OPTIMIZE_NOTHING
                              : ORT_OPTIMIZE_ALL;
    return checked(ort.SetSessionGraphOptimizationLevel(options, chosen));
}

/* A number of threads; 0, as in Triton's backend, leaves the choice to ONNX Runtime. */
static TrError *read_threads(const Json *config, const char *name, int *count)
{
    TRY(read_int(config, name, count));
    if (*count <= MOST_THREADS)
        return NULL;
    return fail(TR_INVALID_ARG, "parameter %s: expected at most %d, found %d", name, MOST_THREADS,
                *count);
}

static TrError *set_threads(const Json *config, OrtSessionOptions *options)
{
    int mode = 0, intra = 0, inter = 0;
    TRY(read_int(config, "execution_mode", &mode));
    if (mode != 0 && mode != 1)
        return fail(TR_INVALID_ARG,
                    "parameter execution_mode: expected 0 (sequential) or 1 (parallel), found %d",
                    mode);
    TRY(checked(ort.SetSessionExecutionMode(options, mode ? ORT_PARALLEL : ORT_SEQUENTIAL)));
    if (ort_global_threads)
        return checked(ort.DisablePerSessionThreads(options));
    TRY(read_threads(config, "intra_op_thread_count", &intra));
    TRY(read_threads(config, "inter_op_thread_count", &inter));
    if (intra > 0)
        TRY(checked(ort.SetIntraOpNumThreads(options, intra)));
    if (inter > 0)
        TRY(checked(ort.SetInterOpNumThreads(options, inter)));
    return NULL;
}

static TrError *set_memory(const Json *config, OrtSessionOptions *options)
{
    static const char device_key[] = "session.use_device_allocator_for_initializers";
    const char *device = parameter(config, device_key);
    bool arena = true, pattern = true;
    if (device)
        TRY(checked(ort.AddSessionConfigEntry(options, device_key, device)));
    TRY(read_bool(config, "enable_mem_arena", &arena));
    TRY(read_bool(config, "enable_mem_pattern", &pattern));
    TRY(checked(arena ? ort.EnableCpuMemArena(options) : ort.DisableCpuMemArena(options)));
    return checked(pattern ? ort.EnableMemPattern(options) : ort.DisableMemPattern(options));
}

static TrError *add_operators(const Json *config, OrtSessionOptions *options)
{
    const Json *operations = json_get(config, "model_operations");
    for (const Json *each = json_first(operations, "op_library_filename"); each;
         each = each->next) {
        const char *path = each->text ? each->text : "";
        TrError *error = checked(ort.RegisterCustomOpsLibrary_V2(options, path));
        bool python = error && strstr(TRITONSERVER_ErrorMessage(error), "undefined symbol: Py");
        TRY(explain(error, "model_operations.op_library_filename '%s'%s", path,
                    python ? " needs Python, which is not in the server's process" : ""));
    }
    return NULL;
}

TrError *make_session_options(const Json *config, OrtSessionOptions **made)
{
    OrtSessionOptions *options;
    TRY(checked(ort.CreateSessionOptions(&options)));
    TrError *error = set_optimization(config, options);
    if (!error)
        error = set_threads(config, options);
    if (!error)
        error = set_memory(config, options);
    if (!error)
        error = add_operators(config, options);
    if (error)
        ort.ReleaseSessionOptions(options);
    else
        *made = options;
    return error;
}

TrError *make_run_options(const Json *config, OrtRunOptions **made)
{
    static const char key[] = "memory.enable_memory_arena_shrinkage";
    const char *value = parameter(config, key);
    OrtRunOptions *options;
    TRY(checked(ort.CreateRunOptions(&options)));
    TrError *error = value ? checked(ort.AddRunConfigEntry(options, key, value)) : NULL;
    if (error)
        ort.ReleaseRunOptions(options);
    else
        *made = options;
    return error;
}
