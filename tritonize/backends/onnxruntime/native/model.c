#define _GNU_SOURCE
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "complete.h"
#include "contract.h"
#include "options.h"

/* The three lists of tensors that a session has. */
typedef struct {
    OrtStatus *(*count)(const OrtSession *, size_t *);
    OrtStatus *(*name)(const OrtSession *, size_t, OrtAllocator *, char **);
    OrtStatus *(*type)(const OrtSession *, size_t, OrtTypeInfo **);
} Listing;

Tensor *tensor_named(const Tensors *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->count; i++)
        if (!strcmp(tensors->items[i].name, name))
            return &tensors->items[i];
    return NULL;
}

static TrError *read_type(OrtTypeInfo *info, Tensor *tensor)
{
    int kind = 0, onnx = 0;
    const OrtTensorInfo *found = NULL;
    TRY(checked(ort.GetOnnxTypeFromTypeInfo(info, &kind)));
    if (kind != ONNX_TENSOR)
        return fail(TR_UNSUPPORTED, "'%s' of the model is no tensor, which Triton cannot serve",
                    tensor->name);
    TRY(checked(ort.CastTypeInfoToTensorInfo(info, &found)));
    TRY(checked(ort.GetTensorElementType(found, &onnx)));
    tensor->type = type_of_onnx(onnx);
    return ort_shape(found, tensor->name, &tensor->shape);
}

static TrError *read_tensor(const OrtSession *session, const Listing *listing, size_t index,
                            Tensor *tensor)
{
    char *name;
    TRY(checked(listing->name(session, index, ort_allocator, &name)));
    tensor->name = strdup(name);
    TRY(checked(ort.AllocatorFree(ort_allocator, name)));
    if (!tensor->name)
        return no_memory("a name");
    OrtTypeInfo *info;
    TRY(checked(listing->type(session, index, &info)));
    TrError *error = read_type(info, tensor);
    ort.ReleaseTypeInfo(info);
    return error;
}

/* Adds the tensors of one list to `tensors`. */
static TrError *read_tensors(const OrtSession *session, Listing listing, Tensors *tensors)
{
    size_t count;
    TRY(checked(listing.count(session, &count)));
    Tensor *items = realloc(tensors->items, (tensors->count + count + 1) * sizeof *items);
    if (!items)
        return no_memory("the tensors of the model");
    tensors->items = items;
    for (size_t i = 0; i < count; i++) {
        Tensor *tensor = &items[tensors->count++];
        memset(tensor, 0, sizeof *tensor);
        TRY(read_tensor(session, &listing, i, tensor));
    }
    return NULL;
}

static TrError *read_session(Model *model)
{
    const OrtSession *session = model->session;
    TRY(read_tensors(
        session,
        (Listing){ort.SessionGetInputCount, ort.SessionGetInputName, ort.SessionGetInputTypeInfo},
        &model->inputs));
    model->required = model->inputs.count;
    TRY(read_tensors(session,
                     (Listing){ort.SessionGetOverridableInitializerCount,
                               ort.SessionGetOverridableInitializerName,
                               ort.SessionGetOverridableInitializerTypeInfo},
                     &model->inputs));
    return read_tensors(session,
                        (Listing){ort.SessionGetOutputCount, ort.SessionGetOutputName,
                                  ort.SessionGetOutputTypeInfo},
                        &model->outputs);
}

static TrError *read_config(TrModel *handle, Json **config)
{
    TrMessage *message;
    const char *text;
    size_t size;
    TRY(TRITONBACKEND_ModelConfig(handle, 1, &message));
    TrError *error = TRITONSERVER_MessageSerializeToJson(message, &text, &size);
    Json *found = error ? NULL : json_parse(text, size);
    if (!error && (!found || found->kind != JSON_OBJECT))
        error = fail(TR_INTERNAL, "the configuration that Triton gives is not a JSON object");
    error = first_of(error, TRITONSERVER_MessageDelete(message));
    if (error) {
        json_free(found);
        return error;
    }
    json_free(*config);
    *config = found;
    return NULL;
}

/* Whether a path has a component "..". */
static bool leads_out(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (!at[2] || at[2] == '/'))
            return true;
    return false;
}

/* The ONNX file: `default_model_filename`, else model.onnx; in a folder of that name, its
 * model.onnx. */
static TrError *find_file(TrModel *handle, Model *model)
{
    const char *repository, *file = json_text(model->config, "default_model_filename");
    int kind;
    uint64_t version;
    struct stat found;
    TRY(TRITONBACKEND_ModelRepository(handle, &kind, &repository));
    if (kind != TR_ARTIFACT_FILESYSTEM)
        return fail(TR_UNSUPPORTED, "the model repository is no folder");
    TRY(TRITONBACKEND_ModelVersion(handle, &version));
    if (!*file)
        file = "model.onnx";
    if (leads_out(file))
        return fail(TR_INVALID_ARG,
                    "default_model_filename '%s' leads out of the version directory", file);
    if (asprintf(&model->path, "%s/%" PRIu64 "/%s", repository, version, file) < 0) {
        model->path = NULL;
        return no_memory("a path");
    }
    const char *inside = "";
    if (!stat(model->path, &found) && S_ISDIR(found.st_mode)) {
        char *folder = model->path;
        inside = "/model.onnx";
        if (asprintf(&model->path, "%s%s", folder, inside) < 0)
            model->path = NULL;
        free(folder);
        if (!model->path)
            return no_memory("a path");
    }
    if (stat(model->path, &found) || !S_ISREG(found.st_mode))
        return fail(TR_UNAVAILABLE, "there is no file %s%s in version directory %" PRIu64, file,
                    inside, version);
    return NULL;
}

static TrError *complete(TrModel *handle, Model *model, int64_t default_max_batch)
{
    bool wanted = false;
    TRY(TRITONBACKEND_ModelAutoCompleteConfig(handle, &wanted));
    if (!wanted || !needs_completion(model->config))
        return NULL;
    TRY(complete_config(model, default_max_batch));
    size_t size;
    char *text = json_write(model->config, &size);
    if (!text)
        return no_memory("the completed configuration");
    TrMessage *message;
    TrError *error = TRITONSERVER_MessageNewFromSerializedJson(&message, text, size);
    free(text);
    TRY(error);
    error = TRITONBACKEND_ModelSetConfig(handle, 1, message);
    TRY(first_of(error, TRITONSERVER_MessageDelete(message)));
    return read_config(handle, &model->config); /* Triton adds to what it is given */
}

static TrError *load(TrModel *handle, Model *model, int64_t default_max_batch)
{
    TRY(read_config(handle, &model->config));
    TRY(find_file(handle, model));
    TRY(make_session_options(model->config, &model->options));
    TRY(read_bool(model->config, "share_session_between_instances", &model->shared));
    TRY(checked(ort.CreateSession(ort_env, model->path, model->options, &model->session)));
    TRY(read_session(model));
    TRY(complete(handle, model, default_max_batch));
    return compare_with_config(model);
}

TrError *model_load(TrModel *handle, int64_t default_max_batch, Model **made)
{
    Model *model = calloc(1, sizeof *model);
    if (!model)
        return no_memory("a model");
    pthread_mutex_init(&model->lock, NULL);
    TrError *error = load(handle, model, default_max_batch);
    if (error)
        model_free(model);
    else
        *made = model;
    return error;
}

static void free_tensors(Tensors *tensors)
{
    for (size_t i = 0; i < tensors->count; i++)
        free(tensors->items[i].name);
    free(tensors->items);
}

void model_free(Model *model)
{
    if (model->session)
        ort.ReleaseSession(model->session);
    if (model->options)
        ort.ReleaseSessionOptions(model->options);
    free_tensors(&model->inputs);
    free_tensors(&model->outputs);
    free(model->states);
    free(model->path);
    json_free(model->config);
    pthread_mutex_destroy(&model->lock);
    free(model);
}

TrError *model_take_session(Model *model, OrtSession **session)
{
    pthread_mutex_lock(&model->lock);
    *session = model->session;
    if (!model->shared)
        model->session = NULL;
    pthread_mutex_unlock(&model->lock);
    if (*session)
        return NULL;
    return checked(ort.CreateSession(ort_env, model->path, model->options, session));
}

void model_give_back(Model *model, OrtSession *session)
{
    if (!model->shared)
        ort.ReleaseSession(session);
}
