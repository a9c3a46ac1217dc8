#include <inttypes.h>
#include <string.h>

#include "batch.h"

static TrError *read_source(const Model *model, Job *job, TrInput *input)
{
    const char *name;
    Source source = {.handle = input};
    TRY(TRITONBACKEND_InputProperties(input, &name, &source.type, &source.dims, &source.rank,
                                      &source.bytes, &source.buffers));
    const Tensor *tensor = tensor_named(&model->inputs, name);
    if (!tensor)
        return fail(TR_INVALID_ARG, "input '%s' is not in the model", name);
    if (source.type != tensor->type)
        return fail(TR_INVALID_ARG, "input '%s' has %s, the model needs %s", name,
                    type_name(source.type), type_name(tensor->type));
    if (source.rank > MAX_RANK)
        return fail(TR_UNSUPPORTED, "input '%s' has more than %d dimensions", name, MAX_RANK);
    job->sources[tensor - model->inputs.items] = source;
    return NULL;
}

/* The size of the request's batch, which is the first dimension of all its inputs. */
static TrError *count_rows(const Model *model, Job *job)
{
    const char *first = NULL;
    job->rows = 1;
    for (size_t i = 0; model->max_batch > 0 && i < model->inputs.count; i++) {
        const Source *source = &job->sources[i];
        const char *name = model->inputs.items[i].name;
        if (!source->handle)
            continue;
        if (!source->rank || source->dims[0] < 0)
            return fail(TR_INVALID_ARG, "input '%s' has no batch", name);
        if (first && source->dims[0] != job->rows)
            return fail(TR_INVALID_ARG,
                        "input '%s' has a batch of %" PRId64 ", input '%s' one of %" PRId64, name,
                        source->dims[0], first, job->rows);
        if (source->dims[0] > model->max_batch)
            return fail(TR_INVALID_ARG,
                        "input '%s' has a batch of %" PRId64 ", max_batch_size is %" PRId64, name,
                        source->dims[0], model->max_batch);
        job->rows = source->dims[0];
        first = name;
    }
    return NULL;
}

TrError *read_request(const Model *model, Job *job)
{
    uint32_t count;
    TRY(TRITONBACKEND_RequestInputCount(job->request, &count));
    for (uint32_t i = 0; i < count; i++) {
        TrInput *input;
        TRY(TRITONBACKEND_RequestInputByIndex(job->request, i, &input));
        TRY(read_source(model, job, input));
    }
    TRY(TRITONBACKEND_RequestOutputCount(job->request, &count));
    for (uint32_t i = 0; i < count; i++) {
        const char *name;
        TRY(TRITONBACKEND_RequestOutputName(job->request, i, &name));
        const Tensor *tensor = tensor_named(&model->outputs, name);
        if (!tensor)
            return fail(TR_INVALID_ARG, "output '%s' is not in the model", name);
        job->wanted[tensor - model->outputs.items] = true;
    }
    return count_rows(model, job);
}

bool can_join(const Model *model, const Job *one, const Job *other)
{
    if (model->max_batch <= 0)
        return false;
    for (size_t i = 0; i < model->inputs.count; i++) {
        const Source *a = &one->sources[i], *b = &other->sources[i];
        if (!a->handle != !b->handle)
            return false;
        if (!a->handle || model->inputs.items[i].ragged)
            continue;
        if (a->rank != b->rank || memcmp(a->dims + 1, b->dims + 1, (a->rank - 1) * sizeof *a->dims))
            return false;
    }
    return true;
}
