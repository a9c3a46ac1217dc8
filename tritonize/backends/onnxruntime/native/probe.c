/* Tries an ONNX Runtime library before a server is started with it.
 *
 * A function table of another order than ort_abi.h says would make the server crash. So every
 * function that the backend uses is called here and its result looked at, in a process that may
 * crash. Nothing in this file may call Triton, which is not in that process. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ort.h"

/* Y = X + W and T = S, with X: float [n, 2], W: float [2] = [10, 20], which a request may override,
 * and S: string [n]; ONNX's protobuf, IR version 8, opset 13.
 * tests/integration/backends/test_native_probe.py reads it back. */
static const char model[] =
    "\010\010\072\231\001\012\016\012\001\130\012\001\127\022\001\131\042\003\101\144\144\012"
    "\020\012\001\123\022\001\124\042\010\111\144\145\156\164\151\164\171\022\001\147\052\021"
    "\010\002\020\001\102\001\127\112\010\000\000\040\101\000\000\240\101\132\024\012\001\130"
    "\022\017\012\015\010\001\022\011\012\003\022\001\156\012\002\010\002\132\020\012\001\123"
    "\022\013\012\011\010\010\022\005\012\003\022\001\156\132\017\012\001\127\022\012\012\010"
    "\010\001\022\004\012\002\010\002\142\020\012\001\124\022\013\012\011\010\010\022\005\012"
    "\003\022\001\156\142\024\012\001\131\022\017\012\015\010\001\022\011\012\003\022\001\156"
    "\012\002\010\002\102\004\012\000\020\015";

typedef struct {
    char *message;
    size_t size;
    const char *version;
    int log_lines;
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtRunOptions *run_options;
    OrtMemoryInfo *memory;
    OrtAllocator *allocator;
    OrtValue *in[2], *out[2];
} Probe;

static const char *last_message;

/* Writes the message to stderr, and ends the process by the signal that came. */
static void report_signal(int number)
{
    ssize_t written = write(STDERR_FILENO, last_message, strlen(last_message));
    if (written > 0)
        written = write(STDERR_FILENO, "\n", 1);
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_signals(const char *message)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM};
    last_message = message;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i],
                  &(struct sigaction){.sa_handler = report_signal, .sa_flags = (int)SA_RESETHAND},
                  NULL);
}

/* Before a call: what the message is to be if the process does not survive it. */
static void enter(Probe *p, const char *function, int slot)
{
    snprintf(p->message, p->size, "ONNX Runtime %s crashed or did not return in %s (slot %d)",
             p->version, function, slot);
}

static bool expect(Probe *p, bool condition, const char *function, const char *problem)
{
    if (!condition)
        snprintf(p->message, p->size,
                 "ONNX Runtime %s has another function table than expected: %s %s", p->version,
                 function, problem);
    return condition;
}

static bool succeeded(Probe *p, const char *function, OrtStatus *status)
{
    if (!status)
        return true;
    snprintf(p->message, p->size, "ONNX Runtime %s: %s failed: %s", p->version, function,
             ort.GetErrorMessage(status));
    ort.ReleaseStatus(status);
    return false;
}

/* Whether the call failed with a text that has `wanted` in it. */
static bool failed(Probe *p, const char *function, OrtStatus *status, const char *wanted)
{
    if (!expect(p, status != NULL, function, "succeeded where it must fail"))
        return false;
    const char *text = ort.GetErrorMessage(status);
    bool good = expect(p, text && strstr(text, wanted), function, "failed with another error");
    if (good)
        ort.ReleaseStatus(status);
    return good;
}

/* The slot of each function, under its name. */
enum {
#define SLOT(slot, result, name, parameters) SLOT_##name = slot,
    ORT_FUNCTIONS(SLOT)
#undef SLOT
};

#define CALL(name, ...) (enter(p, #name, SLOT_##name), succeeded(p, #name, ort.name(__VA_ARGS__)))
#define FAIL(wanted, name, ...)                                                                    \
    (enter(p, #name, SLOT_##name), failed(p, #name, ort.name(__VA_ARGS__), wanted))
#define EXPECT(condition, name, problem) expect(p, condition, #name, problem)

static void count_line(void *context, int severity, const char *category, const char *id,
                       const char *place, const char *text)
{
    (void)severity, (void)category, (void)id;
    if (place && text && *text)
        ((Probe *)context)->log_lines++;
}

static bool make_environment(Probe *p)
{
    OrtThreadingOptions *threads;
    if (!CALL(CreateThreadingOptions, &threads) || !CALL(SetGlobalIntraOpNumThreads, threads, 1) ||
        !CALL(SetGlobalInterOpNumThreads, threads, 1) ||
        !CALL(CreateEnvWithCustomLoggerAndGlobalThreadPools, count_line, p, ORT_LOG_VERBOSE,
              "probe", threads, &p->env))
        return false;
    enter(p, "ReleaseThreadingOptions", SLOT_ReleaseThreadingOptions);
    ort.ReleaseThreadingOptions(threads);
    enter(p, "ReleaseEnv", SLOT_ReleaseEnv);
    ort.ReleaseEnv(p->env);
    return CALL(CreateEnvWithCustomLogger, count_line, p, ORT_LOG_VERBOSE, "probe", &p->env) &&
           CALL(CreateCpuMemoryInfo, ORT_DEVICE_ALLOCATOR, ORT_MEMORY_DEFAULT, &p->memory) &&
           CALL(GetAllocatorWithDefaultOptions, &p->allocator);
}

static bool make_session(Probe *p)
{
    static const char key[] = "session.use_device_allocator_for_initializers";
    static const char missing[] = "/no/such/operators.so";
    char path[64];
    int file = memfd_create("probe.onnx", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (file < 0 || write(file, model, sizeof model - 1) != (ssize_t)sizeof model - 1) {
        snprintf(p->message, p->size, "the model of the probe cannot be written to memory");
        return false;
    }
    bool good =
        CALL(CreateSessionOptions, &p->options) &&
        CALL(SetSessionExecutionMode, p->options, ORT_SEQUENTIAL) &&
        CALL(EnableMemPattern, p->options) && CALL(DisableMemPattern, p->options) &&
        CALL(EnableCpuMemArena, p->options) && CALL(DisableCpuMemArena, p->options) &&
        CALL(SetSessionGraphOptimizationLevel, p->options, ORT_OPTIMIZE_EXTENDED) &&
        FAIL("", SetSessionGraphOptimizationLevel, p->options, 50) &&
        CALL(SetIntraOpNumThreads, p->options, 1) && CALL(SetInterOpNumThreads, p->options, 1) &&
        CALL(AddSessionConfigEntry, p->options, key, "0") &&
        FAIL(missing, RegisterCustomOpsLibrary_V2, p->options, missing) &&
        FAIL("/no/such/model", CreateSession, p->env, "/no/such/model", p->options, &p->session) &&
        CALL(CreateSession, p->env, path, p->options, &p->session) &&
        CALL(DisablePerSessionThreads, p->options);
    close(file);
    return good && EXPECT(p->log_lines > 0, CreateEnvWithCustomLogger, "logs nothing");
}

/* Whether a name is the expected one; frees it. */
static bool is_name(Probe *p, const char *function, char *name, const char *expected)
{
    return expect(p, name && !strcmp(name, expected), function, "gave another name") &&
           CALL(AllocatorFree, p->allocator, name);
}

static bool is_type(Probe *p, const char *function, OrtTypeInfo *info, int type, size_t rank)
{
    const OrtTensorInfo *tensor;
    int kind = 0, found = 0;
    size_t dims = 0;
    int64_t shape[2] = {0, 0};
    bool good = CALL(GetOnnxTypeFromTypeInfo, info, &kind) &&
                CALL(CastTypeInfoToTensorInfo, info, &tensor) &&
                CALL(GetTensorElementType, tensor, &found) &&
                CALL(GetDimensionsCount, tensor, &dims) &&
                expect(p, kind == ONNX_TENSOR && found == type && dims == rank, function,
                       "gave another type") &&
                CALL(GetDimensions, tensor, shape, rank) &&
                EXPECT(shape[rank - 1] == (rank == 2 || type == ONNX_FLOAT ? 2 : -1), GetDimensions,
                       "gave another shape");
    if (good) {
        enter(p, "ReleaseTypeInfo", SLOT_ReleaseTypeInfo);
        ort.ReleaseTypeInfo(info);
    }
    return good;
}

static bool describe_session(Probe *p)
{
    size_t inputs = 0, outputs = 0, initializers = 0;
    char *name;
    OrtTypeInfo *info;
    return CALL(SessionGetInputCount, p->session, &inputs) &&
           CALL(SessionGetOutputCount, p->session, &outputs) &&
           CALL(SessionGetOverridableInitializerCount, p->session, &initializers) &&
           EXPECT(inputs == 2 && outputs == 2 && initializers == 1, SessionGetInputCount,
                  "or its like gave another number") &&
           CALL(SessionGetInputName, p->session, 1, p->allocator, &name) &&
           is_name(p, "SessionGetInputName", name, "S") &&
           CALL(SessionGetOutputName, p->session, 1, p->allocator, &name) &&
           is_name(p, "SessionGetOutputName", name, "Y") &&
           CALL(SessionGetOverridableInitializerName, p->session, 0, p->allocator, &name) &&
           is_name(p, "SessionGetOverridableInitializerName", name, "W") &&
           CALL(SessionGetInputTypeInfo, p->session, 1, &info) &&
           is_type(p, "SessionGetInputTypeInfo", info, ONNX_STRING, 1) &&
           CALL(SessionGetOutputTypeInfo, p->session, 1, &info) &&
           is_type(p, "SessionGetOutputTypeInfo", info, ONNX_FLOAT, 2) &&
           CALL(SessionGetOverridableInitializerTypeInfo, p->session, 0, &info) &&
           is_type(p, "SessionGetOverridableInitializerTypeInfo", info, ONNX_FLOAT, 1);
}

static bool make_inputs(Probe *p, float *numbers, size_t bytes)
{
    static const int64_t shape[] = {2, 2};
    char *text;
    if (!FAIL("", CreateTensorWithDataAsOrtValue, p->memory, numbers, bytes - 1, shape, 2,
              ONNX_FLOAT, &p->in[0]) ||
        !CALL(CreateTensorWithDataAsOrtValue, p->memory, numbers, bytes, shape, 2, ONNX_FLOAT,
              &p->in[0]) ||
        !CALL(CreateTensorAsOrtValue, p->allocator, shape, 1, ONNX_STRING, &p->in[1]) ||
        !CALL(GetResizedStringTensorElementBuffer, p->in[1], 0, 1, &text))
        return false;
    memcpy(text, "a", 1);
    if (!CALL(GetResizedStringTensorElementBuffer, p->in[1], 1, 3, &text))
        return false;
    memcpy(text, "bcd", 3);
    return true;
}

static bool read_outputs(Probe *p)
{
    static const float expected[] = {11, 22, 13, 24};
    OrtTensorInfo *info;
    void *data = NULL;
    size_t rank = 0, bytes = 0, starts[2];
    char text[4];
    if (!CALL(GetTensorTypeAndShape, p->out[0], &info) || !CALL(GetDimensionsCount, info, &rank))
        return false;
    enter(p, "ReleaseTensorTypeAndShapeInfo", SLOT_ReleaseTensorTypeAndShapeInfo);
    ort.ReleaseTensorTypeAndShapeInfo(info);
    return EXPECT(rank == 2, GetTensorTypeAndShape, "gave another shape") &&
           CALL(GetTensorMutableData, p->out[0], &data) &&
           EXPECT(data && !memcmp(data, expected, sizeof expected), Run,
                  "computed other numbers") &&
           CALL(GetStringTensorDataLength, p->out[1], &bytes) &&
           EXPECT(bytes == sizeof text, GetStringTensorDataLength, "gave another length") &&
           CALL(GetStringTensorContent, p->out[1], text, bytes, starts, 2) &&
           EXPECT(!memcmp(text, "abcd", 4) && starts[0] == 0 && starts[1] == 1,
                  GetStringTensorContent, "gave another text");
}

static bool run_session(Probe *p)
{
    static const char *const in_names[] = {"X", "S"}, *const out_names[] = {"Y", "T"};
    static const char key[] = "memory.enable_memory_arena_shrinkage";
    float numbers[] = {1, 2, 3, 4};
    const OrtValue *const *in = (const OrtValue *const *)p->in;
    return make_inputs(p, numbers, sizeof numbers) && CALL(CreateRunOptions, &p->run_options) &&
           CALL(AddRunConfigEntry, p->run_options, key, "") &&
           CALL(RunOptionsSetTerminate, p->run_options) &&
           FAIL("terminate", Run, p->session, p->run_options, in_names, in, 2, out_names, 2,
                p->out) &&
           CALL(RunOptionsUnsetTerminate, p->run_options) &&
           CALL(Run, p->session, p->run_options, in_names, in, 2, out_names, 2, p->out) &&
           read_outputs(p);
}

static void release(Probe *p)
{
    for (size_t i = 0; i < 2; i++) {
        if (p->in[i])
            ort.ReleaseValue(p->in[i]);
        if (p->out[i])
            ort.ReleaseValue(p->out[i]);
    }
    if (p->run_options)
        ort.ReleaseRunOptions(p->run_options);
    if (p->session)
        ort.ReleaseSession(p->session);
    if (p->options)
        ort.ReleaseSessionOptions(p->options);
    if (p->memory)
        ort.ReleaseMemoryInfo(p->memory);
    if (p->env)
        ort.ReleaseEnv(p->env);
}

/* Returns 0 if the library can be used, with its version in `message`; otherwise `message` has a
 * sentence that says why not. While it runs, `message` says what it calls, so that a caller who
 * shares the memory knows it after a crash. */
__attribute__((visibility("default"))) int tritonize_probe(const char *library, char *message,
                                                           size_t size)
{
    Probe probe = {.message = message, .size = size, .version = "(version unknown)"};
    Probe *p = &probe;
    catch_signals(message);
    enter(p, "OrtGetApiBase", -1);
    p->version = ort_open(library, message, size);
    if (!p->version)
        return 1;
    if (!make_environment(p) || !make_session(p) || !describe_session(p) || !run_session(p))
        return 1; /* what there is may be anything: it is not released */
    enter(p, "one of the functions that release", SLOT_ReleaseValue);
    release(p);
    snprintf(message, size, "%s", p->version);
    return 0;
}
