#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"

static bool is_state(const Model *model, size_t output)
{
    for (size_t i = 0; i < model->state_count; i++)
        if (model->states[i] == output)
            return true;
    return false;
}

/* Adds an output to the response and gives the memory to write it to. */
static TrError *place(Job *job, const Tensor *tensor, const Shape *shape, uint64_t bytes, void **to)
{
    TrOutput *output;
    int memory = TR_MEMORY_CPU;
    int64_t id = 0;
    if (!job->response)
        TRY(TRITONBACKEND_ResponseNew(&job->response, job->request));
    TRY(TRITONBACKEND_ResponseOutput(job->response, &output, tensor->name, tensor->type,
                                     shape->dims, (uint32_t)shape->rank));
    TRY(TRITONBACKEND_OutputBuffer(output, to, bytes, &memory, &id));
    if (memory == TR_MEMORY_GPU)
        return fail(TR_UNSUPPORTED, "output '%s' is wanted in the memory of a GPU", tensor->name);
    if (bytes && !*to)
        return no_memory(tensor->name);
    return NULL;
}

/* Notes the shapes of the inputs. Where they differ from the last run's, nothing is confirmed. */
static void note_shapes(const Batch *batch)
{
    Instance *instance = batch->instance;
    const Model *model = instance->model;
    size_t skipped = model->max_batch > 0 ? 1 : 0;
    bool same = true;
    for (size_t i = 0; i < model->inputs.count; i++) {
        const Source *source = &batch->jobs[0]->sources[i];
        Shape now = {0}, *last = &instance->last_shapes[i];
        if (source->handle && source->rank > skipped) {
            now.rank = source->rank - skipped;
            memcpy(now.dims, source->dims + skipped, now.rank * sizeof *now.dims);
        }
        same = same && now.rank == last->rank &&
               !memcmp(now.dims, last->dims, now.rank * sizeof *now.dims);
        *last = now;
    }
    for (size_t i = 0; !same && i < model->outputs.count; i++)
        if (instance->placements[i] == CONFIRMED)
            instance->placements[i] = NOT_CONFIRMED;
}

/* The shape that the model declares for this batch; false if a dimension is dynamic. */
static bool declared_shape(const Batch *batch, const Tensor *tensor, Shape *shape)
{
    *shape = tensor->shape;
    if (batch->instance->model->max_batch > 0 && shape->rank)
        shape->dims[0] = batch->rows;
    for (size_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0)
            return false;
    return shape->rank > 0;
}

/* An output can be computed where its response is sent from if there is one request and the model
 * declares every dimension. A declaration can be wrong, and a response cannot be begun anew, so a
 * run with inputs of the same shapes must have confirmed it. */
static TrError *place_result(Batch *batch, Result *result)
{
    const Tensor *tensor = result->tensor;
    Shape shape;
    uint64_t elements;
    void *to;
    if (batch->count > 1 || !batch->jobs[0]->wanted[result->index] || !type_size(tensor->type) ||
        tensor->batch_source || batch->instance->placements[result->index] != CONFIRMED ||
        !declared_shape(batch, tensor, &shape) ||
        !count_elements(shape.dims, shape.rank, &elements) || !elements)
        return NULL;
    uint64_t bytes = elements * type_size(tensor->type);
    TRY(place(batch->jobs[0], tensor, &shape, bytes, &to));
    result->placed = to;
    result->in_place = (uintptr_t)to % ALIGNMENT == 0;
    if (!result->in_place)
        return NULL; /* computed elsewhere and copied there */
    return checked(ort.CreateTensorWithDataAsOrtValue(
        ort_cpu, to, bytes, shape.dims, shape.rank, type_onnx(tensor->type),
        &batch->instance->out_values[result - batch->instance->results]));
}

TrError *prepare_outputs(Batch *batch)
{
    Instance *instance = batch->instance;
    const Model *model = instance->model;
    note_shapes(batch);
    for (size_t i = 0; i < model->outputs.count; i++) {
        bool needed = is_state(model, i);
        for (size_t j = 0; !needed && j < batch->count; j++)
            needed = batch->jobs[j]->wanted[i];
        if (!needed)
            continue;
        size_t slot = instance->out_count++;
        instance->results[slot] = (Result){.tensor = &model->outputs.items[i], .index = i};
        instance->out_names[slot] = model->outputs.items[i].name;
        instance->out_values[slot] = NULL;
        TRY(place_result(batch, &instance->results[slot]));
    }
    return NULL;
}

static TrError *read_text(Result *result, const OrtValue *value)
{
    size_t bytes;
    uint64_t count;
    if (!count_elements(result->shape.dims, result->shape.rank, &count))
        return fail(TR_INTERNAL, "output '%s' has an impossible shape", result->tensor->name);
    TRY(checked(ort.GetStringTensorDataLength(value, &bytes)));
    result->text = malloc(bytes + 1);
    result->starts = malloc((count + 1) * sizeof *result->starts);
    if (!result->text || !result->starts)
        return no_memory(result->tensor->name);
    if (count)
        TRY(checked(ort.GetStringTensorContent(value, result->text, bytes, result->starts, count)));
    result->starts[count] = bytes;
    return NULL;
}

static TrError *read_result(Batch *batch, Result *result, OrtValue *value)
{
    const Tensor *tensor = result->tensor;
    bool batched = batch->instance->model->max_batch > 0 && !tensor->batch_source;
    char text[SHAPE_TEXT];
    int type;
    if (!value)
        return fail(TR_INTERNAL, "the model computed no output '%s'", tensor->name);
    TRY(describe_value(value, tensor->name, &type, &result->shape));
    if (type != tensor->type)
        return fail(TR_INTERNAL, "output '%s' has %s, the model declares %s", tensor->name,
                    type_name(type), type_name(tensor->type));
    Shape *shape = &result->shape, declared;
    if (batched && (!shape->rank || shape->dims[0] != batch->rows))
        return fail(
            TR_INTERNAL,
            "output '%s' has shape %s for a batch of %" PRId64 "; expected %" PRId64 " first",
            tensor->name, shape_text(shape->dims, shape->rank, text), batch->rows, batch->rows);
    Placement *placement = &batch->instance->placements[result->index];
    if (*placement == NOT_CONFIRMED && declared_shape(batch, tensor, &declared) &&
        declared.rank == shape->rank &&
        !memcmp(declared.dims, shape->dims, shape->rank * sizeof *shape->dims))
        *placement = CONFIRMED;
    if (!shape->rank && tensor->shape.rank)
        return fail(TR_INTERNAL, "output '%s' is a scalar, the model declares %s", tensor->name,
                    shape_text(tensor->shape.dims, tensor->shape.rank, text));
    if (!shape->rank)
        *shape = tensor->dims; /* Triton has no scalars: the configuration's dims are ones */
    if (!type_size(type))
        return read_text(result, value);
    void *data;
    TRY(checked(ort.GetTensorMutableData(value, &data)));
    result->data = data;
    return NULL;
}

/* The shape of one request's part of an output that is a target of `batch_output`: the
 * configuration's dims, the dynamic ones from the input that it is split by. */
static void scattered_shape(const Batch *batch, const Tensor *tensor, const Job *job, Shape *shape)
{
    const Tensors *inputs = &batch->instance->model->inputs;
    const Source *source =
        &job->sources[tensor_named(inputs, tensor->batch_source) - inputs->items];
    *shape = (Shape){0};
    if (batch->instance->model->max_batch > 0)
        shape->dims[shape->rank++] = -1;
    for (size_t i = 0; i < tensor->dims.rank && shape->rank < MAX_RANK; i++)
        shape->dims[shape->rank++] = tensor->dims.dims[i];
    for (size_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] == -1 && source->handle && i < source->rank)
            shape->dims[i] = source->dims[i];
}

/* The part of an output that is one request's: its shape, and where it begins, in elements. */
static TrError *part_of(const Batch *batch, const Result *result, size_t job, Shape *shape,
                        uint64_t *first)
{
    uint64_t all, own = 0;
    bool good = count_elements(result->shape.dims, result->shape.rank, &all);
    *first = 0;
    if (result->tensor->batch_source) {
        for (size_t i = 0; good && i <= job; i++) {
            *first += own;
            scattered_shape(batch, result->tensor, batch->jobs[i], shape);
            good = count_elements(shape->dims, shape->rank, &own);
        }
    } else {
        *shape = result->shape;
        if (batch->instance->model->max_batch > 0) { /* rows were compared with the batch */
            int64_t before = 0;
            for (size_t i = 0; i < job; i++)
                before += batch->jobs[i]->rows;
            shape->dims[0] = batch->jobs[job]->rows;
            *first = before && batch->rows ? all / (uint64_t)batch->rows * (uint64_t)before : 0;
        }
        good = good && count_elements(shape->dims, shape->rank, &own);
    }
    if (good && *first + own <= all)
        return NULL;
    return fail(TR_INTERNAL, "output '%s' has too few elements for the batch",
                result->tensor->name);
}

/* The last request's part ends where an output that is split by an input's shape ends. */
static TrError *check_end(const Result *result, const Shape *last, uint64_t first)
{
    uint64_t all, own;
    count_elements(result->shape.dims, result->shape.rank, &all);
    count_elements(last->dims, last->rank, &own);
    if (!result->tensor->batch_source || first + own == all)
        return NULL;
    return fail(TR_INTERNAL,
                "output '%s' has %" PRIu64 " elements, the shapes of input '%s' need %" PRIu64,
                result->tensor->name, all, result->tensor->batch_source, first + own);
}

TrError *read_results(Batch *batch)
{
    Instance *instance = batch->instance;
    for (size_t i = 0; i < instance->out_count; i++) {
        Result *result = &instance->results[i];
        Shape shape;
        uint64_t first;
        TRY(read_result(batch, result, instance->out_values[i]));
        TRY(part_of(batch, result, batch->count - 1, &shape, &first));
        TRY(check_end(result, &shape, first));
    }
    return NULL;
}

static uint64_t part_bytes(const Result *result, uint64_t first, uint64_t count)
{
    if (result->text)
        return result->starts[first + count] - result->starts[first] + count * sizeof(uint32_t);
    return count * type_size(result->tensor->type);
}

static void copy_part(const Result *result, uint64_t first, uint64_t count, char *to)
{
    if (!result->text) {
        size_t unit = type_size(result->tensor->type);
        if (count)
            memcpy(to, result->data + first * unit, count * unit);
        return;
    }
    for (uint64_t i = first; i < first + count; i++) {
        uint32_t length = (uint32_t)(result->starts[i + 1] - result->starts[i]);
        memcpy(to, &length, sizeof length);
        memcpy(to + sizeof length, result->text + result->starts[i], length);
        to += sizeof length + length;
    }
}

static TrError *write_state(Job *job, const Result *result, const Shape *shape, uint64_t first,
                            uint64_t count)
{
    TrState *state;
    void *to;
    int memory = TR_MEMORY_CPU;
    int64_t id = 0;
    const Tensor *tensor = result->tensor;
    uint64_t bytes = part_bytes(result, first, count);
    TRY(TRITONBACKEND_StateNew(&state, job->request, tensor->name, tensor->type, shape->dims,
                               (uint32_t)shape->rank));
    TRY(TRITONBACKEND_StateBuffer(state, &to, bytes, &memory, &id));
    if (memory == TR_MEMORY_GPU)
        return fail(TR_UNSUPPORTED, "state '%s' is wanted in the memory of a GPU", tensor->name);
    if (bytes && !to)
        return no_memory(tensor->name);
    copy_part(result, first, count, to);
    return TRITONBACKEND_StateUpdate(state);
}

/* Where to write one request's part of an output. */
static TrError *destination(Batch *batch, const Result *result, Job *job, const Shape *shape,
                            uint64_t bytes, void **to)
{
    const Tensor *tensor = result->tensor;
    char found[SHAPE_TEXT], expected[SHAPE_TEXT];
    Shape declared;
    if (!result->placed)
        return place(job, tensor, shape, bytes, to);
    *to = result->placed;
    if (declared_shape(batch, tensor, &declared) && declared.rank == shape->rank &&
        !memcmp(declared.dims, shape->dims, shape->rank * sizeof *shape->dims))
        return NULL;
    batch->instance->placements[result->index] = NEVER_IN_PLACE;
    return fail(TR_INTERNAL, "output '%s' has shape %s, the model declares %s", tensor->name,
                shape_text(shape->dims, shape->rank, found),
                shape_text(declared.dims, declared.rank, expected));
}

TrError *write_outputs(Batch *batch, size_t index)
{
    Instance *instance = batch->instance;
    Job *job = batch->jobs[index];
    /* States come last: once they are written the request cannot be run again. */
    for (int states = 0; states < 2; states++)
        for (size_t i = 0; i < instance->out_count; i++) {
            const Result *result = &instance->results[i];
            Shape shape;
            uint64_t first, count;
            void *to;
            if (states ? !is_state(instance->model, result->index)
                       : result->in_place || !job->wanted[result->index])
                continue;
            TRY(part_of(batch, result, index, &shape, &first));
            count_elements(shape.dims, shape.rank, &count);
            if (states) {
                TRY(write_state(job, result, &shape, first, count));
                continue;
            }
            TRY(destination(batch, result, job, &shape, part_bytes(result, first, count), &to));
            copy_part(result, first, count, to);
        }
    return NULL;
}
