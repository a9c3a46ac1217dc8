#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"

enum {
    PAGE = 4096,
    LARGEST_KEPT_ROOM = 64 << 20, /* bytes; larger ones are freed after the run */
    TEXT_LENGTH_SIZE = 4,         /* bytes before every element of a text */
    MOST_ITEM_SHAPES = 1 << 24    /* numbers of a batch_input */
};

static char *room_for(Room *room, size_t bytes)
{
    if (room->size >= bytes && room->data)
        return room->data;
    free(room->data);
    *room = (Room){NULL, 0};
    if (bytes > SIZE_MAX - PAGE)
        return NULL;
    size_t size = (bytes + PAGE) / PAGE * PAGE;
    room->data = aligned_alloc(ALIGNMENT, size);
    if (room->data)
        room->size = size;
    return room->data;
}

static TrError *buffer_of(const Tensor *tensor, const Source *source, uint32_t index,
                          const void **data, uint64_t *bytes)
{
    int memory = TR_MEMORY_CPU;
    int64_t id = 0;
    TRY(TRITONBACKEND_InputBuffer(source->handle, index, data, bytes, &memory, &id));
    if (memory == TR_MEMORY_GPU)
        return fail(TR_UNSUPPORTED, "input '%s' is in the memory of a GPU", tensor->name);
    return NULL;
}

/* Copies all buffers of a request's input. */
static TrError *copy_source(const Tensor *tensor, const Source *source, char *to)
{
    uint64_t left = source->bytes;
    for (uint32_t i = 0; i < source->buffers; i++) {
        const void *piece;
        uint64_t bytes;
        TRY(buffer_of(tensor, source, i, &piece, &bytes));
        if (bytes > left)
            return fail(TR_INVALID_ARG, "input '%s' has more data than its size says",
                        tensor->name);
        if (bytes)
            memcpy(to, piece, bytes);
        to += bytes;
        left -= bytes;
    }
    return left ? fail(TR_INVALID_ARG, "input '%s' has less data than its size says", tensor->name)
                : NULL;
}

/* The input's data of all requests in one piece: the request's own memory where there is one
 * request, one buffer and the alignment; a copy otherwise. */
static TrError *collect(Batch *batch, size_t input, const char **data, uint64_t *bytes)
{
    const Tensor *tensor = &batch->instance->model->inputs.items[input];
    const Source *only = &batch->jobs[0]->sources[input];
    size_t unit = type_size(tensor->type);
    if (batch->count == 1 && only->buffers == 1) {
        const void *piece;
        TRY(buffer_of(tensor, only, 0, &piece, bytes));
        *data = piece;
        if (*bytes == only->bytes && piece && (!unit || (uintptr_t)piece % ALIGNMENT == 0))
            return NULL;
    }
    *bytes = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (__builtin_add_overflow(*bytes, batch->jobs[i]->sources[input].bytes, bytes))
            return no_memory(tensor->name);
    char *to = room_for(&batch->instance->rooms[input], *bytes);
    *data = to;
    if (!to)
        return no_memory(tensor->name);
    for (size_t i = 0; i < batch->count; i++) {
        const Source *source = &batch->jobs[i]->sources[input];
        TRY(copy_source(tensor, source, to));
        to += source->bytes;
    }
    return NULL;
}

/* The shape that the model gets, and a check that every request has the data for its own. */
static TrError *joined_shape(const Batch *batch, size_t input, Shape *shape)
{
    const Model *model = batch->instance->model;
    const Tensor *tensor = &model->inputs.items[input];
    const Source *first = &batch->jobs[0]->sources[input];
    uint64_t all = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const Source *source = &batch->jobs[i]->sources[input];
        uint64_t elements, unit = type_size(tensor->type);
        if (!count_elements(source->dims, source->rank, &elements))
            return fail(TR_INVALID_ARG, "input '%s' has an impossible shape", tensor->name);
        if (unit && elements * unit != source->bytes)
            return fail(TR_INVALID_ARG,
                        "input '%s' has %" PRIu64 " bytes, its shape needs %" PRIu64, tensor->name,
                        source->bytes, elements * unit);
        /* Before ONNX Runtime makes room for the elements: a shape costs a client nothing. */
        if (!unit && elements > source->bytes / TEXT_LENGTH_SIZE)
            return fail(TR_INVALID_ARG,
                        "input '%s' has %" PRIu64 " bytes, too few for %" PRIu64 " elements",
                        tensor->name, source->bytes, elements);
        all += elements;
    }
    shape->rank = first->rank;
    memcpy(shape->dims, first->dims, first->rank * sizeof *shape->dims);
    if (tensor->ragged) {
        shape->rank = 1;
        shape->dims[0] = (int64_t)all;
    } else if (!tensor->shape.rank) {
        shape->rank = 0; /* Triton has no scalars: they come as one element */
        if (all != 1)
            return fail(TR_INVALID_ARG, "input '%s' is a scalar and has %" PRIu64 " elements",
                        tensor->name, all);
    } else if (model->max_batch > 0) {
        shape->dims[0] = batch->rows;
    }
    return NULL;
}

/* Triton's text has a length of 4 bytes before every element. Each request's is read by itself, so
 * that one which is wrong does not shift the elements of the next. */
static TrError *read_text(const Batch *batch, size_t input, const char *data, OrtValue *value)
{
    const Tensor *tensor = &batch->instance->model->inputs.items[input];
    const char *name = tensor->name;
    size_t index = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const Source *source = &batch->jobs[i]->sources[input];
        uint64_t elements, left = source->bytes;
        count_elements(source->dims, source->rank, &elements);
        for (uint64_t e = 0; e < elements; e++) {
            uint32_t length = 0;
            char *to;
            if (left >= sizeof length)
                memcpy(&length, data, sizeof length);
            if (left < sizeof length || left - sizeof length < length)
                return fail(TR_INVALID_ARG,
                            "input '%s': the data ends in element %" PRIu64 " of %" PRIu64, name, e,
                            elements);
            TRY(checked(ort.GetResizedStringTensorElementBuffer(value, index++, length, &to)));
            if (length)
                memcpy(to, data + sizeof length, length);
            data += sizeof length + length;
            left -= sizeof length + length;
        }
        if (tensor->control) /* Triton 2.51 gives 132 bytes for the identifier of any sequence */
            data += left;
        else if (left)
            return fail(TR_INVALID_ARG, "input '%s' has more data than its %" PRIu64 " elements",
                        name, elements);
    }
    return NULL;
}

static TrError *make_value(Batch *batch, size_t input, OrtValue **value)
{
    const Tensor *tensor = &batch->instance->model->inputs.items[input];
    int type = type_onnx(tensor->type);
    const char *data = NULL;
    uint64_t bytes;
    Shape shape;
    TRY(joined_shape(batch, input, &shape));
    TRY(collect(batch, input, &data, &bytes));
    if (type_size(tensor->type))
        return checked(ort.CreateTensorWithDataAsOrtValue(ort_cpu, (void *)(uintptr_t)data, bytes,
                                                          shape.dims, shape.rank, type, value));
    TRY(checked(ort.CreateTensorAsOrtValue(ort_allocator, shape.dims, shape.rank, type, value)));
    return read_text(batch, input, data, *value);
}

/* What one request adds to a batch input: the numbers to write, or their count if `numbers` is
 * NULL. */
static uint64_t batch_numbers(BatchKind kind, const Source *source, uint64_t *sum, int64_t *numbers)
{
    uint64_t elements = 0, count = 0;
    count_elements(source->dims, source->rank, &elements);
    *sum += elements;
    if (kind == ITEM_SHAPE || kind == ITEM_SHAPE_FLAT) {
        if (!numbers)
            return (uint64_t)source->dims[0] * (source->rank - 1);
        for (int64_t row = 0; row < source->dims[0]; row++)
            for (uint32_t d = 1; d < source->rank; d++)
                numbers[count++] = source->dims[d];
        return count;
    }
    if (numbers)
        *numbers = (int64_t)(kind == COUNT_ELEMENTS ? elements : *sum);
    return 1;
}

static TrError *make_batch_input(Batch *batch, size_t input, OrtValue **value)
{
    const Tensors *inputs = &batch->instance->model->inputs;
    const Tensor *tensor = &inputs->items[input];
    BatchKind kind = tensor->batch_kind;
    size_t from = (size_t)(tensor_named(inputs, tensor->batch_source) - inputs->items);
    uint64_t count = kind == COUNT_ACCUMULATED_WITH_ZERO, sum = 0, largest = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const Source *source = &batch->jobs[i]->sources[from];
        uint64_t before = sum;
        if (!source->handle || !source->rank)
            return fail(TR_INVALID_ARG, "batch_input '%s' needs input '%s'", tensor->name,
                        tensor->batch_source);
        if ((kind == ITEM_SHAPE || kind == ITEM_SHAPE_FLAT) && source->dims[0] > MOST_ITEM_SHAPES)
            return fail(TR_INVALID_ARG, "batch_input '%s': input '%s' has more than %d items",
                        tensor->name, tensor->batch_source, MOST_ITEM_SHAPES);
        count += batch_numbers(kind, source, &sum, NULL);
        largest = sum - before > largest ? sum - before : largest;
    }
    if (kind == MAX_COUNT_AS_SHAPE)
        count = largest; /* its shape says it all; the elements are zeros */
    /* The numbers are written as 64 bits and then narrowed in place. */
    int64_t *numbers =
        (void *)room_for(&batch->instance->rooms[input], (count + 1) * sizeof *numbers);
    if (!numbers)
        return no_memory(tensor->name);
    memset(numbers, 0, (count + 1) * sizeof *numbers);
    uint64_t at = kind == COUNT_ACCUMULATED_WITH_ZERO;
    sum = 0;
    for (size_t i = 0; kind != MAX_COUNT_AS_SHAPE && i < batch->count; i++)
        at += batch_numbers(kind, &batch->jobs[i]->sources[from], &sum, numbers + at);
    for (uint64_t i = 0; i < count; i++) {
        int32_t whole = (int32_t)numbers[i];
        float real = (float)numbers[i];
        memcpy((char *)numbers + i * 4,
               tensor->batch_type == TYPE_FP32 ? (void *)&real : (void *)&whole, 4);
    }
    int64_t dims[2] = {(int64_t)count, 0};
    if (kind == ITEM_SHAPE) {
        dims[1] = (int64_t)batch->jobs[0]->sources[from].rank - 1;
        dims[0] = batch->rows;
    }
    return checked(ort.CreateTensorWithDataAsOrtValue(ort_cpu, numbers, count * 4, dims,
                                                      kind == ITEM_SHAPE ? 2 : 1,
                                                      type_onnx(tensor->batch_type), value));
}

TrError *gather_inputs(Batch *batch)
{
    Instance *instance = batch->instance;
    const Tensors *inputs = &instance->model->inputs;
    for (size_t i = 0; i < inputs->count; i++) {
        bool given = batch->jobs[0]->sources[i].handle != NULL;
        if (!given && !inputs->items[i].batch_kind) {
            if (i < instance->model->required)
                return fail(TR_INVALID_ARG, "input '%s' is missing", inputs->items[i].name);
            continue; /* an initializer, which has a value of its own */
        }
        size_t slot = instance->in_count++;
        instance->in_names[slot] = inputs->items[i].name;
        instance->in_values[slot] = NULL;
        TRY(given ? make_value(batch, i, &instance->in_values[slot])
                  : make_batch_input(batch, i, &instance->in_values[slot]));
    }
    return NULL;
}

void release_values(Batch *batch)
{
    Instance *instance = batch->instance;
    for (size_t i = 0; i < instance->in_count; i++)
        if (instance->in_values[i])
            ort.ReleaseValue(instance->in_values[i]);
    for (size_t i = 0; i < instance->out_count; i++) {
        if (instance->out_values[i])
            ort.ReleaseValue(instance->out_values[i]);
        free(instance->results[i].text);
        free(instance->results[i].starts);
    }
    instance->in_count = instance->out_count = 0;
    for (size_t i = 0; i < instance->model->inputs.count; i++)
        if (instance->rooms[i].size > LARGEST_KEPT_ROOM) {
            free(instance->rooms[i].data);
            instance->rooms[i] = (Room){NULL, 0};
        }
}
