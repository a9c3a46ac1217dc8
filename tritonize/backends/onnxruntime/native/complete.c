#include "complete.h"

#include <inttypes.h>

bool needs_completion(const Json *config)
{
    size_t inputs = json_count(config, "input") + json_count(config, "batch_input");
    return !inputs || !json_count(config, "output");
}

/* Whether every tensor of the model has a dynamic first dimension. */
static bool can_batch(const Model *model)
{
    for (size_t i = 0; i < model->required; i++)
        if (!model->inputs.items[i].shape.rank || model->inputs.items[i].shape.dims[0] != -1)
            return false;
    for (size_t i = 0; i < model->outputs.count; i++)
        if (!model->outputs.items[i].shape.rank || model->outputs.items[i].shape.dims[0] != -1)
            return false;
    return true;
}

static TrError *complete_batch(Model *model, int64_t default_max_batch, int64_t *max_batch)
{
    *max_batch = json_whole(json_get(model->config, "max_batch_size"));
    if (!can_batch(model)) {
        if (*max_batch)
            return fail(TR_INVALID_ARG,
                        "max_batch_size is %" PRId64
                        ", but not every tensor of the model has a dynamic first dimension",
                        *max_batch);
        return NULL;
    }
    if (!*max_batch) {
        *max_batch = default_max_batch > 0 ? default_max_batch : 0;
        model->config = json_set(model->config, "max_batch_size", json_number(*max_batch));
        say(TR_LOG_WARN,
            "max_batch_size is set to %" PRId64
            ", the default, because the model supports batching and its configuration names none",
            *max_batch);
    }
    bool scheduled =
        json_get(model->config, "sequence_batching") || json_get(model->config, "dynamic_batching");
    if (*max_batch > 1 && !scheduled)
        model->config = json_set(model->config, "dynamic_batching", json_new(JSON_OBJECT, NULL));
    return NULL;
}

static Json *entry_of(const Tensor *tensor, bool batched)
{
    size_t start = batched ? 1 : 0;
    bool empty = tensor->shape.rank <= start; /* `dims` may not be empty in a configuration */
    Json *entry = json_set(json_new(JSON_OBJECT, NULL), "name", json_new(JSON_TEXT, tensor->name));
    entry = json_set(entry, "data_type", json_new(JSON_TEXT, type_name(tensor->type)));
    Json *dims = json_new(JSON_LIST, NULL);
    for (size_t i = start; i < tensor->shape.rank; i++)
        dims = json_append(dims, json_number(tensor->shape.dims[i]));
    if (empty)
        dims = json_append(dims, json_number(1));
    entry = json_set(entry, "dims", dims);
    if (!empty || !batched)
        return entry;
    Json *shape = json_set(json_new(JSON_OBJECT, NULL), "shape", json_new(JSON_LIST, NULL));
    return json_set(entry, "reshape", shape);
}

static TrError *complete_tensors(Model *model, const char *key, const Tensor *tensors, size_t count,
                                 bool batched)
{
    Json *list = json_new(JSON_LIST, NULL);
    for (size_t i = 0; i < count; i++) {
        if (tensors[i].type == TYPE_NONE) {
            json_free(list);
            return fail(TR_UNSUPPORTED, "%s '%s' of the model has %s", key, tensors[i].name,
                        type_name(TYPE_NONE));
        }
        list = json_append(list, entry_of(&tensors[i], batched));
    }
    model->config = json_set(model->config, key, list);
    return NULL;
}

TrError *complete_config(Model *model, int64_t default_max_batch)
{
    const Json *config = model->config;
    bool no_inputs = !json_count(config, "input") && !json_count(config, "batch_input");
    bool no_outputs = !json_count(config, "output");
    int64_t max_batch;
    TRY(complete_batch(model, default_max_batch, &max_batch));
    if (no_inputs)
        TRY(complete_tensors(model, "input", model->inputs.items, model->required, max_batch > 0));
    if (no_outputs)
        TRY(complete_tensors(model, "output", model->outputs.items, model->outputs.count,
                             max_batch > 0));
    return model->config ? NULL : no_memory("the completed configuration");
}
