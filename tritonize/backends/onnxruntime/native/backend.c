/* What Triton calls: the functions of a backend, by the names that tritonbackend.h gives them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute.h"
#include "options.h"
#include "watch.h"

#define EXPORT __attribute__((visibility("default")))

static int64_t default_max_batch;

/* The name of a function that the server lacks, NULL if it has all. */
static const char *missing_function(void)
{
#define CHECK(result, name, parameters)                                                            \
    if (!name)                                                                                     \
        return #name;
    TRITON_FUNCTIONS(CHECK)
#undef CHECK
    return NULL;
}

static TrError *read_number(const Json *options, const char *name, int *value)
{
    const char *text = json_text(options, name);
    if (!*text || parse_int(text, value))
        return NULL;
    return fail(TR_INVALID_ARG,
                "--backend-config=onnxruntime,%s: expected a whole number, found '%s'", name, text);
}

/* The values of --backend-config=onnxruntime,NAME=VALUE. */
static TrError *read_options(const Json *options, char *library, size_t size, OrtSettings *settings)
{
    static const char switch_name[] = "enable-global-threadpool";
    const char *path = json_text(options, "library"), *text = json_text(options, switch_name);
    int batch = 0;
    if (path[0] != '/')
        return fail(TR_INVALID_ARG,
                    "--backend-config=onnxruntime,library: expected the absolute path of "
                    "libonnxruntime, found '%s'",
                    path);
    snprintf(library, size, "%s", path);
    if (*text && !parse_bool(text, &settings->global_threads))
        return fail(TR_INVALID_ARG,
                    "--backend-config=onnxruntime,%s: expected true or false, found '%s'",
                    switch_name, text);
    TRY(read_number(options, "intra_op_thread_count", &settings->intra_threads));
    TRY(read_number(options, "inter_op_thread_count", &settings->inter_threads));
    TRY(read_number(options, "default-max-batch-size", &batch));
    default_max_batch = batch;
    return NULL;
}

EXPORT TrError *TRITONBACKEND_Initialize(TrBackend *backend)
{
    const char *missing = missing_function();
    if (missing) { /* without the server's functions there is no error to return */
        fprintf(stderr, "the server has no %s, which the onnxruntime backend needs\n", missing);
        abort();
    }
    uint32_t major, minor;
    TRY(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major != TR_API_MAJOR || minor < TR_API_MINOR)
        return fail(TR_UNSUPPORTED,
                    "the server's backend API is %u.%u, %d.%d or a later %d is needed", major,
                    minor, TR_API_MAJOR, TR_API_MINOR, TR_API_MAJOR);
    TrMessage *message; /* the backend's, not to be freed here */
    const char *text;
    size_t size;
    TRY(TRITONBACKEND_BackendConfig(backend, &message));
    TRY(TRITONSERVER_MessageSerializeToJson(message, &text, &size));
    Json *config = json_parse(text, size);
    char library[4096], problem[4096];
    OrtSettings settings = {0};
    TrError *error = read_options(json_get(config, "cmdline"), library, sizeof library, &settings);
    json_free(config);
    TRY(error);
    const char *version = ort_open(library, problem, sizeof problem);
    if (!version)
        return fail(TR_UNAVAILABLE, "%s", problem);
    TRY(ort_start(&settings));
    say(TR_LOG_INFO, "native backend: ONNX Runtime %s", version);
    return NULL;
}

EXPORT TrError *TRITONBACKEND_Finalize(TrBackend *backend)
{
    (void)backend;
    watch_stop();
    ort_stop();
    return NULL;
}

EXPORT TrError *TRITONBACKEND_GetBackendAttribute(TrBackend *backend, TrAttributes *attributes)
{
    (void)backend;
    return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true);
}

EXPORT TrError *TRITONBACKEND_ModelInitialize(TrModel *handle)
{
    Model *model;
    TRY(model_load(handle, default_max_batch, &model));
    TrError *error = TRITONBACKEND_ModelSetState(handle, model);
    if (error)
        model_free(model);
    return error;
}

/* Also called after an initialization that failed, then without a state; the same for instances. */
EXPORT TrError *TRITONBACKEND_ModelFinalize(TrModel *handle)
{
    void *model;
    TRY(TRITONBACKEND_ModelState(handle, &model));
    if (model)
        model_free(model);
    return NULL;
}

EXPORT TrError *TRITONBACKEND_ModelInstanceInitialize(TrInstance *handle)
{
    TrModel *owner;
    void *model;
    int kind;
    Instance *instance;
    TRY(TRITONBACKEND_ModelInstanceModel(handle, &owner));
    TRY(TRITONBACKEND_ModelState(owner, &model));
    TRY(TRITONBACKEND_ModelInstanceKind(handle, &kind));
    /* A server that also serves plans sees a GPU, which Triton gives to every group without a kind.
     */
    if (kind == TR_KIND_GPU && !getenv("TRITONIZE_TENSORRT"))
        return fail(TR_INVALID_ARG, "instance_group: the kind is KIND_GPU, but the embedded server "
                                    "runs ONNX models on the CPU");
    TRY(instance_new(model, handle, &instance));
    TrError *error = TRITONBACKEND_ModelInstanceSetState(handle, instance);
    if (error)
        instance_free(instance);
    return error;
}

EXPORT TrError *TRITONBACKEND_ModelInstanceFinalize(TrInstance *handle)
{
    void *instance;
    TRY(TRITONBACKEND_ModelInstanceState(handle, &instance));
    if (instance)
        instance_free(instance);
    return NULL;
}

EXPORT TrError *TRITONBACKEND_ModelInstanceExecute(TrInstance *handle, TrRequest **requests,
                                                   uint32_t count)
{
    void *instance;
    TRY(TRITONBACKEND_ModelInstanceState(handle, &instance));
    execute(instance, requests, count);
    return NULL;
}
