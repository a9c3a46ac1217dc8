#define _GNU_SOURCE
#include "contract.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char **items;
    size_t count;
} Names;

static bool has_name(const Names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (!strcmp(names->items[i], name))
            return true;
    return false;
}

/* Writes the names that are not in `without`, as 'a', 'b'; nothing if there are none. */
static size_t write_names(FILE *out, const char *title, const Names *names, const Names *without)
{
    size_t written = 0;
    for (size_t i = 0; i < names->count; i++)
        if (!without || !has_name(without, names->items[i]))
            fprintf(out, "%s'%s'", written++ ? ", " : title, names->items[i]);
    return written;
}

static bool repeats(const Names *names)
{
    for (size_t i = 0; i < names->count; i++)
        if (has_name(&(Names){names->items, i}, names->items[i]))
            return true;
    return false;
}

/* NULL if both have the same names. */
static TrError *compare_names(const Names *configured, const Names *modelled)
{
    bool same = configured->count == modelled->count && !repeats(configured);
    for (size_t i = 0; same && i < configured->count; i++)
        same = has_name(modelled, configured->items[i]);
    if (same)
        return NULL;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return no_memory("an error's text");
    fputs("the configuration has inputs ", out);
    if (!write_names(out, "", configured, NULL))
        fputs("none", out);
    fputs(", the model has ", out);
    if (!write_names(out, "", modelled, NULL))
        fputs("none", out);
    write_names(out, "; not in the model: ", configured, modelled);
    write_names(out, "; not in the configuration: ", modelled, configured);
    if (repeats(configured))
        fputs("; a name appears twice", out);
    fclose(out);
    TrError *error = fail(TR_INVALID_ARG, "%s", text ? text : "");
    free(text);
    return error;
}

static TrError *not_there(const char *field, const char *name, const Tensors *tensors)
{
    char text[2048];
    FILE *out = fmemopen(text, sizeof text, "w");
    if (!out)
        return no_memory("an error's text");
    for (size_t i = 0; i < tensors->count; i++)
        fprintf(out, "%s'%s'", i ? ", " : "", tensors->items[i].name);
    if (!tensors->count)
        fputs("none", out);
    fputc(0, out);
    fclose(out);
    text[sizeof text - 1] = 0;
    return fail(TR_INVALID_ARG, "%s '%s' is not in the model, which has %s", field, name, text);
}

static TrError *compare_type(const char *field, const char *name, const char *configured, int type)
{
    if (type != TYPE_NONE && type_named(configured) == type)
        return NULL;
    return fail(TR_INVALID_ARG, "%s '%s': the configuration says %s, the model has %s", field, name,
                configured, type_name(type));
}

/* The dims of an entry, those of `reshape` where it has them. */
static TrError *read_dims(const Json *entry, const char *field, Shape *dims)
{
    const Json *reshape = json_get(entry, "reshape");
    const Json *each = reshape ? json_first(reshape, "shape") : json_first(entry, "dims");
    for (dims->rank = 0; each; each = each->next) {
        if (dims->rank >= MAX_RANK)
            return fail(TR_UNSUPPORTED, "%s '%s' has more than %d dims", field,
                        json_text(entry, "name"), MAX_RANK);
        dims->dims[dims->rank++] = json_whole(each);
    }
    return NULL;
}

static TrError *compare_scalar(const char *field, const Tensor *tensor, bool batched)
{
    bool fits = !batched;
    for (size_t i = 0; i < tensor->dims.rank; i++)
        fits = fits && tensor->dims.dims[i] == 1;
    char text[SHAPE_TEXT];
    if (fits)
        return NULL;
    return fail(TR_INVALID_ARG,
                "%s '%s' is a scalar in the model: it needs dims of 1 and max_batch_size 0, the "
                "configuration says %s%s",
                field, tensor->name, shape_text(tensor->dims.dims, tensor->dims.rank, text),
                batched ? " with batching" : "");
}

/* A dynamic axis of the model accepts any dim of an input; an output has the model's own dims. */
static TrError *compare_dims(const char *field, const Tensor *tensor, bool batched, bool exactly)
{
    if (!tensor->shape.rank)
        return compare_scalar(field, tensor, batched);
    char ours[SHAPE_TEXT], theirs[SHAPE_TEXT];
    shape_text(tensor->shape.dims, tensor->shape.rank, theirs);
    if (batched && tensor->shape.dims[0] != -1)
        return fail(TR_INVALID_ARG,
                    "%s '%s': for batching its first dimension must be dynamic, the model has %s",
                    field, tensor->name, theirs);
    int64_t full[MAX_RANK + 1] = {-1};
    size_t start = batched ? 1 : 0, rank = start + tensor->dims.rank;
    memcpy(full + start, tensor->dims.dims, tensor->dims.rank * sizeof *full);
    bool same = rank == tensor->shape.rank;
    for (size_t i = 0; same && i < rank; i++)
        same = full[i] == tensor->shape.dims[i] || (!exactly && tensor->shape.dims[i] == -1);
    if (same)
        return NULL;
    return fail(TR_INVALID_ARG, "%s '%s': the configuration says dims %s%s, the model has %s",
                field, tensor->name, shape_text(full, rank, ours),
                batched ? " (the batch first)" : "", theirs);
}

static TrError *compare_input(Model *model, const Json *entry)
{
    const char *name = json_text(entry, "name");
    bool batched = model->max_batch > 0, optional = json_true(entry, "optional");
    Tensor *tensor = tensor_named(&model->inputs, name);
    char text[SHAPE_TEXT];
    if (optional && batched)
        return fail(TR_INVALID_ARG,
                    "input '%s': an optional input is not possible in a model with batching", name);
    if (!tensor)
        return not_there("input", name, &model->inputs);
    tensor->in_config = true;
    tensor->ragged = json_true(entry, "allow_ragged_batch");
    TRY(compare_type("input", name, json_text(entry, "data_type"), tensor->type));
    TRY(read_dims(entry, "input", &tensor->dims));
    if (!tensor->ragged)
        return compare_dims("input", tensor, batched, false);
    if (optional)
        return fail(TR_INVALID_ARG, "input '%s': allow_ragged_batch is not possible with optional",
                    name);
    if (tensor->shape.rank != 1 || tensor->shape.dims[0] != -1)
        return fail(TR_INVALID_ARG,
                    "input '%s': allow_ragged_batch needs shape [-1] in the model, which has %s",
                    name, shape_text(tensor->shape.dims, tensor->shape.rank, text));
    return NULL;
}

static TrError *compare_output(Model *model, const Json *entry)
{
    const char *name = json_text(entry, "name");
    Tensor *tensor = tensor_named(&model->outputs, name);
    if (!tensor)
        return not_there("output", name, &model->outputs);
    tensor->in_config = true;
    TRY(compare_type("output", name, json_text(entry, "data_type"), tensor->type));
    TRY(read_dims(entry, "output", &tensor->dims));
    if (tensor->batch_source) /* it is split by the shape of an input instead */
        return NULL;
    return compare_dims("output", tensor, model->max_batch > 0, true);
}

/* An input that the sequence batcher adds to every request: one element, of the configured type. */
static TrError *compare_control(Model *model, const Json *entry)
{
    static const struct {
        const char *field, *type;
    } switches[] = {{"fp32_false_true", "TYPE_FP32"},
                    {"int32_false_true", "TYPE_INT32"},
                    {"bool_false_true", "TYPE_BOOL"}};
    const char *name = json_text(entry, "name");
    Tensor *tensor = tensor_named(&model->inputs, name); /* it is there: names were compared */
    const Json *control = json_first(entry, "control");
    const char *type = json_text(control, "data_type");
    size_t start = model->max_batch > 0 ? 1 : 0, controls = json_count(entry, "control");
    char text[SHAPE_TEXT];
    if (controls != 1)
        return fail(TR_INVALID_ARG,
                    "sequence control '%s': one entry of control is expected, found %zu", name,
                    controls);
    if (tensor->shape.rank != start + 1 || tensor->shape.dims[start] != 1)
        return fail(TR_INVALID_ARG,
                    "sequence control '%s': dims [1] are expected, the model has %s", name,
                    shape_text(tensor->shape.dims, tensor->shape.rank, text));
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (json_count(control, switches[i].field))
            type = switches[i].type;
    tensor->control = true;
    return compare_type("sequence control", name, type, tensor->type);
}

static TrError *compare_states(Model *model, const Json *batching)
{
    size_t count = json_count(batching, "state");
    model->states = calloc(count + 1, sizeof *model->states);
    if (!model->states)
        return no_memory("the states of the model");
    for (const Json *each = json_first(batching, "state"); each; each = each->next) {
        const char *name = json_text(each, "output_name"), *type = json_text(each, "data_type");
        const Tensor *output = tensor_named(&model->outputs, name);
        const Tensor *input = tensor_named(&model->inputs, json_text(each, "input_name"));
        if (!output)
            return not_there("state output", name, &model->outputs);
        TRY(compare_type("state input", input->name, type, input->type));
        TRY(compare_type("state output", name, type, output->type));
        model->states[model->state_count++] = (size_t)(output - model->outputs.items);
    }
    return NULL;
}

static BatchKind batch_kind(const char *name)
{
    static const char *const names[] = {[COUNT_ELEMENTS] = "BATCH_ELEMENT_COUNT",
                                        [COUNT_ACCUMULATED] = "BATCH_ACCUMULATED_ELEMENT_COUNT",
                                        [COUNT_ACCUMULATED_WITH_ZERO] =
                                            "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
                                        [MAX_COUNT_AS_SHAPE] = "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
                                        [ITEM_SHAPE] = "BATCH_ITEM_SHAPE",
                                        [ITEM_SHAPE_FLAT] = "BATCH_ITEM_SHAPE_FLATTEN"};
    for (BatchKind kind = COUNT_ELEMENTS; kind <= ITEM_SHAPE_FLAT; kind++)
        if (!strcmp(names[kind], name))
            return kind;
    return COUNT_NONE;
}

/* The first text of a list, empty if there is none. */
static const char *first_text(const Json *entry, const char *key)
{
    const Json *first = json_first(entry, key);
    return first && first->text ? first->text : "";
}

/* The input that an entry of batch_input or batch_output is computed from. */
static TrError *batch_source(const Model *model, const char *field, const Json *entry,
                             const char **source)
{
    *source = first_text(entry, "source_input");
    for (const Json *each = json_first(model->config, "input"); each; each = each->next)
        if (!strcmp(json_text(each, "name"), *source))
            return NULL;
    return fail(TR_INVALID_ARG, "%s.source_input '%s' is not an input of the configuration", field,
                *source);
}

static TrError *read_batch_input(Model *model, const Json *entry)
{
    const char *source, *type = json_text(entry, "data_type"), *name = json_text(entry, "kind");
    BatchKind kind = batch_kind(name);
    int number = type_named(type);
    size_t targets = json_count(entry, "target_name");
    if (!kind)
        return fail(TR_INVALID_ARG, "batch_input.kind '%s' is unknown", name);
    if (number != TYPE_INT32 && number != TYPE_FP32)
        return fail(TR_INVALID_ARG,
                    "batch_input.data_type: expected TYPE_INT32 or TYPE_FP32, found %s", type);
    if (targets != 1) /* Triton's own backend counts an entry as one input of the model */
        return fail(TR_INVALID_ARG, "batch_input.target_name: one name is expected, found %zu",
                    targets);
    TRY(batch_source(model, "batch_input", entry, &source));
    Tensor *tensor = tensor_named(&model->inputs, first_text(entry, "target_name"));
    if (!tensor)
        return NULL; /* names are compared later, all at once */
    TRY(compare_type("batch_input", tensor->name, type, tensor->type));
    tensor->batch_kind = kind;
    tensor->batch_type = number;
    tensor->batch_source = source;
    return NULL;
}

static TrError *read_batch_output(Model *model, const Json *entry)
{
    const char *source, *kind = json_text(entry, "kind");
    if (strcmp(kind, "BATCH_SCATTER_WITH_INPUT_SHAPE"))
        return fail(TR_INVALID_ARG, "batch_output.kind '%s' is unknown", kind);
    TRY(batch_source(model, "batch_output", entry, &source));
    for (const Json *each = json_first(entry, "target_name"); each; each = each->next) {
        Tensor *tensor = tensor_named(&model->outputs, each->text ? each->text : "");
        if (!tensor)
            return not_there("batch_output.target_name", each->text ? each->text : "",
                             &model->outputs);
        if (!type_size(tensor->type))
            return fail(TR_UNSUPPORTED, "batch_output '%s': text cannot be scattered",
                        tensor->name);
        tensor->batch_source = source;
    }
    return NULL;
}

/* Compares the names of all inputs that are not optional, whoever provides them, with the model's.
 */
static TrError *compare_input_names(const Model *model, const Json *batching)
{
    const Json *config = model->config;
    size_t room = json_count(config, "input") + json_count(batching, "control_input") +
                  json_count(batching, "state") + json_count(config, "batch_input") +
                  model->inputs.count + 1;
    const char **names = calloc(room, sizeof *names);
    if (!names)
        return no_memory("the names of the inputs");
    Names configured = {names, 0};
    for (const Json *each = json_first(config, "input"); each; each = each->next)
        if (!json_true(each, "optional"))
            names[configured.count++] = json_text(each, "name");
    for (const Json *each = json_first(config, "batch_input"); each; each = each->next)
        names[configured.count++] = first_text(each, "target_name");
    for (const Json *each = json_first(batching, "control_input"); each; each = each->next)
        names[configured.count++] = json_text(each, "name");
    for (const Json *each = json_first(batching, "state"); each; each = each->next)
        names[configured.count++] = json_text(each, "input_name");
    Names modelled = {names + configured.count, model->required};
    for (size_t i = 0; i < model->required; i++)
        modelled.items[i] = model->inputs.items[i].name;
    TrError *error = compare_names(&configured, &modelled);
    free(names);
    return error;
}

TrError *compare_with_config(Model *model)
{
    const Json *config = model->config, *batching = json_get(config, "sequence_batching");
    model->max_batch = json_whole(json_get(config, "max_batch_size"));
    for (const Json *each = json_first(config, "batch_input"); each; each = each->next)
        TRY(read_batch_input(model, each));
    for (const Json *each = json_first(config, "batch_output"); each; each = each->next)
        TRY(read_batch_output(model, each));
    TRY(compare_input_names(model, batching));
    for (const Json *each = json_first(config, "input"); each; each = each->next)
        TRY(compare_input(model, each));
    for (const Json *each = json_first(batching, "control_input"); each; each = each->next)
        TRY(compare_control(model, each));
    TRY(compare_states(model, batching));
    for (const Json *each = json_first(config, "output"); each; each = each->next)
        TRY(compare_output(model, each));
    for (size_t i = 0; i < model->outputs.count; i++) {
        const Tensor *output = &model->outputs.items[i];
        if (output->batch_source && !output->in_config)
            return fail(TR_INVALID_ARG,
                        "batch_output.target_name '%s' is not an output of the configuration",
                        output->name);
    }
    return NULL;
}
