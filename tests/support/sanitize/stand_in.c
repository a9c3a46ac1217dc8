#include "stand_in.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    size_t size;
} types[TYPE_NUMBERS] = {{"NONE", 0},   {"BOOL", 1}, {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4},
                         {"UINT64", 8}, {"INT8", 1}, {"INT16", 2}, {"INT32", 4},  {"INT64", 8},
                         {"FP16", 2},   {"FP32", 4}, {"FP64", 8},  {"BYTES", 0},  {"BF16", 2}};

atomic_int findings;
bool show_log, verbose;

int type_number(const char *name)
{
    for (int type = 1; type < TYPE_NUMBERS; type++)
        if (!strcmp(types[type].name, name))
            return type;
    return NO_TYPE;
}

const char *type_word(int type)
{
    return type > 0 && type < TYPE_NUMBERS ? types[type].name : "NONE";
}

size_t element_size(int type)
{
    return type > 0 && type < TYPE_NUMBERS ? types[type].size : 0;
}

void finding(const char *format, ...)
{
    va_list values;
    findings++;
    va_start(values, format);
    fputs("finding: ", stdout);
    vprintf(format, values);
    putchar('\n');
    fflush(stdout);
    va_end(values);
}

void *must(void *pointer)
{
    if (!pointer)
        abort();
    return pointer;
}

char *copy_text(const char *text)
{
    return must(strdup(text));
}

static void *copy_bytes(const void *data, uint64_t bytes)
{
    char *copy = must(malloc(bytes + !bytes));
    if (bytes)
        memcpy(copy, data, bytes);
    return copy;
}

void free_value(Value *value)
{
    free(value->name);
    free(value->data);
    *value = (Value){0};
}

void free_outcome(Outcome *outcome)
{
    for (uint32_t i = 0; i < outcome->answer_count; i++)
        free_value(&outcome->answers[i]);
    for (uint32_t i = 0; i < outcome->state_count; i++)
        free_value(&outcome->states[i]);
    free(outcome->error);
    *outcome = (Outcome){0};
}

/* Calls that fail on purpose. */

static atomic_long until_failure;
static atomic_bool failed;

void fail_call(long number)
{
    failed = false;
    until_failure = number;
}

bool call_failed(void)
{
    return failed;
}

bool next_fails(void)
{
    if (until_failure <= 0 || atomic_fetch_sub(&until_failure, 1) != 1)
        return false;
    failed = true;
    return true;
}

#define MAY_FAIL                                                                                   \
    do {                                                                                           \
        if (next_fails())                                                                          \
            return TRITONSERVER_ErrorNew(TR_INTERNAL, "a call that fails on purpose");             \
    } while (0)

/* Errors, log and messages. */

bool TRITONSERVER_LogIsEnabled(int level)
{
    return level != TR_LOG_VERBOSE || verbose;
}

TrError *TRITONSERVER_LogMessage(int level, const char *file, int line, const char *text)
{
    if (level < TR_LOG_INFO || level > TR_LOG_VERBOSE || !file || !*file || line < 0)
        finding("a line of the log has an impossible level or place");
    size_t size = strlen(text);
    if (show_log)
        fprintf(stderr, "%d %.*s\n", level, (int)size, text);
    return NULL;
}

TrError *TRITONSERVER_ErrorNew(int code, const char *text)
{
    TrError *error = must(malloc(sizeof *error));
    if (code < TR_UNKNOWN || code > TR_CANCELLED)
        finding("an error has the impossible code %d", code);
    *error = (TrError){code, copy_text(text)};
    return error;
}

void TRITONSERVER_ErrorDelete(TrError *error)
{
    free(error->text);
    free(error);
}

const char *TRITONSERVER_ErrorMessage(TrError *error)
{
    return error->text;
}

struct TRITONSERVER_Message {
    char *base; /* without a zero behind it */
    size_t size;
};

static TrMessage *message_new(const char *text, size_t size)
{
    TrMessage *message = must(malloc(sizeof *message));
    *message = (TrMessage){copy_bytes(text, size), size};
    return message;
}

TrError *TRITONSERVER_MessageNewFromSerializedJson(TrMessage **message, const char *base,
                                                   size_t size)
{
    MAY_FAIL;
    *message = message_new(base, size);
    return NULL;
}

TrError *TRITONSERVER_MessageDelete(TrMessage *message)
{
    free(message->base);
    free(message);
    return NULL;
}

TrError *TRITONSERVER_MessageSerializeToJson(TrMessage *message, const char **base, size_t *size)
{
    MAY_FAIL;
    *base = message->base;
    *size = message->size;
    return NULL;
}

/* Backend, model and instance. */

struct TRITONBACKEND_Backend {
    TrMessage *config;
};

TrBackend *backend_new(const char *config)
{
    TrBackend *backend = must(malloc(sizeof *backend));
    backend->config = message_new(config, strlen(config));
    return backend;
}

void backend_delete(TrBackend *backend)
{
    TRITONSERVER_MessageDelete(backend->config);
    free(backend);
}

TrError *TRITONBACKEND_ApiVersion(uint32_t *major, uint32_t *minor)
{
    MAY_FAIL;
    *major = TR_API_MAJOR;
    *minor = TR_API_MINOR;
    return NULL;
}

TrError *TRITONBACKEND_BackendConfig(TrBackend *backend, TrMessage **config)
{
    MAY_FAIL;
    *config = backend->config;
    return NULL;
}

TrError *TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(TrAttributes *attributes,
                                                                       bool enabled)
{
    MAY_FAIL;
    if (!attributes || !enabled)
        finding("instances are not loaded in parallel");
    return NULL;
}

TrError *TRITONBACKEND_ModelVersion(TrModel *model, uint64_t *version)
{
    MAY_FAIL;
    *version = model->version;
    return NULL;
}

TrError *TRITONBACKEND_ModelRepository(TrModel *model, int *kind, const char **location)
{
    MAY_FAIL;
    *kind = TR_ARTIFACT_FILESYSTEM;
    *location = model->repository;
    return NULL;
}

TrError *TRITONBACKEND_ModelConfig(TrModel *model, uint32_t version, TrMessage **config)
{
    MAY_FAIL;
    if (version != 1)
        finding("version %u of a configuration is asked for", version);
    *config = message_new(model->config, strlen(model->config));
    return NULL;
}

TrError *TRITONBACKEND_ModelAutoCompleteConfig(TrModel *model, bool *wanted)
{
    MAY_FAIL;
    *wanted = model->complete;
    return NULL;
}

TrError *TRITONBACKEND_ModelSetConfig(TrModel *model, uint32_t version, TrMessage *config)
{
    MAY_FAIL;
    if (version != 1 || !model->complete || model->configs_set++)
        finding("a configuration is set that nobody asked for");
    free(model->config);
    model->config = must(strndup(config->base, config->size));
    return NULL;
}

TrError *TRITONBACKEND_ModelState(TrModel *model, void **state)
{
    *state = model->state;
    return NULL;
}

TrError *TRITONBACKEND_ModelSetState(TrModel *model, void *state)
{
    MAY_FAIL;
    model->state = state;
    return NULL;
}

TrError *TRITONBACKEND_ModelInstanceKind(TrInstance *instance, int *kind)
{
    MAY_FAIL;
    *kind = instance->kind;
    return NULL;
}

TrError *TRITONBACKEND_ModelInstanceModel(TrInstance *instance, TrModel **model)
{
    MAY_FAIL;
    *model = instance->model;
    return NULL;
}

TrError *TRITONBACKEND_ModelInstanceState(TrInstance *instance, void **state)
{
    *state = instance->state;
    return NULL;
}

TrError *TRITONBACKEND_ModelInstanceSetState(TrInstance *instance, void *state)
{
    MAY_FAIL;
    instance->state = state;
    return NULL;
}

/* Requests: their inputs. */

struct TRITONBACKEND_Input {
    char *name;
    int type, memory;
    int64_t *dims;
    uint32_t rank;
    uint64_t said_bytes;
    uint32_t piece_count;
    uint64_t sizes[MOST_PIECES];
    char *blocks[MOST_PIECES]; /* what was allocated */
    size_t offset;
};

struct TRITONBACKEND_State {
    TrRequest *request;
    Value value;
    bool placed, updated;
};

struct TRITONBACKEND_Request {
    Outcome *outcome;
    TrInput inputs[MOST_TENSORS];
    TrState *states[MOST_TENSORS];
    uint32_t state_count;
    struct timespec begun;
};

/* Memory whose end is the end of its block; `*block` is to be freed. */
static char *placed_block(size_t offset, uint64_t bytes, char **block)
{
    void *made = NULL;
    if (posix_memalign(&made, 64, offset + bytes + !(offset + bytes)))
        abort();
    *block = made;
    return *block + offset;
}

static void fill_input(TrInput *input, const Given *given)
{
    const char *from = given->value.data;
    *input = (TrInput){.name = copy_text(given->value.name),
                       .type = given->value.type,
                       .memory = given->memory,
                       .dims = copy_bytes(given->value.dims, given->value.rank * sizeof(int64_t)),
                       .rank = given->value.rank,
                       .said_bytes = given->said_bytes,
                       .piece_count = given->piece_count,
                       .offset = given->offset};
    for (uint32_t i = 0; i < given->piece_count; i++) {
        uint64_t size = given->pieces[i];
        char *to = placed_block(given->offset, size, &input->blocks[i]);
        input->sizes[i] = size;
        if (size)
            memcpy(to, from, size);
        from += size;
    }
}

static TrRequest *request_new(Outcome *outcome)
{
    TrRequest *request = must(calloc(1, sizeof *request));
    request->outcome = outcome;
    for (uint32_t i = 0; i < outcome->order->input_count; i++)
        fill_input(&request->inputs[i], &outcome->order->inputs[i]);
    clock_gettime(CLOCK_MONOTONIC, &request->begun);
    return request;
}

static void request_delete(TrRequest *request)
{
    Outcome *outcome = request->outcome;
    for (uint32_t i = 0; i < outcome->order->input_count; i++) {
        TrInput *input = &request->inputs[i];
        for (uint32_t piece = 0; piece < input->piece_count; piece++)
            free(input->blocks[piece]);
        free(input->name);
        free(input->dims);
    }
    for (uint32_t i = 0; i < request->state_count; i++) {
        TrState *state = request->states[i];
        if (state->updated)
            outcome->states[outcome->state_count++] = state->value;
        else
            free_value(&state->value);
        free(state);
    }
    free(request);
}

TrError *TRITONBACKEND_InputProperties(TrInput *input, const char **name, int *type,
                                       const int64_t **shape, uint32_t *rank, uint64_t *bytes,
                                       uint32_t *buffers)
{
    MAY_FAIL;
    *name = input->name;
    *type = input->type;
    *shape = input->dims;
    *rank = input->rank;
    *bytes = input->said_bytes;
    *buffers = input->piece_count;
    return NULL;
}

TrError *TRITONBACKEND_InputBuffer(TrInput *input, uint32_t index, const void **buffer,
                                   uint64_t *bytes, int *memory, int64_t *memory_id)
{
    MAY_FAIL;
    if (index >= input->piece_count)
        return TRITONSERVER_ErrorNew(TR_INVALID_ARG, "there is no such buffer");
    *bytes = input->sizes[index];
    *buffer = *bytes ? input->blocks[index] + input->offset : NULL;
    *memory = input->memory;
    *memory_id = 0;
    return NULL;
}

TrError *TRITONBACKEND_RequestInputCount(TrRequest *request, uint32_t *count)
{
    MAY_FAIL;
    *count = request->outcome->order->input_count;
    return NULL;
}

TrError *TRITONBACKEND_RequestInputByIndex(TrRequest *request, uint32_t index, TrInput **input)
{
    MAY_FAIL;
    if (index >= request->outcome->order->input_count)
        return TRITONSERVER_ErrorNew(TR_INVALID_ARG, "there is no such input");
    *input = &request->inputs[index];
    return NULL;
}

TrError *TRITONBACKEND_RequestOutputCount(TrRequest *request, uint32_t *count)
{
    MAY_FAIL;
    *count = request->outcome->order->wanted_count;
    return NULL;
}

TrError *TRITONBACKEND_RequestOutputName(TrRequest *request, uint32_t index, const char **name)
{
    MAY_FAIL;
    if (index >= request->outcome->order->wanted_count)
        return TRITONSERVER_ErrorNew(TR_INVALID_ARG, "there is no such output");
    *name = request->outcome->order->wanted[index];
    return NULL;
}

TrError *TRITONBACKEND_RequestIsCancelled(TrRequest *request, bool *cancelled)
{
    MAY_FAIL;
    long after = request->outcome->order->cancelled_after_ms;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long passed = (long)(now.tv_sec - request->begun.tv_sec) * 1000 +
                  (now.tv_nsec - request->begun.tv_nsec) / 1000000;
    *cancelled = after >= 0 && passed >= after;
    return NULL;
}

TrError *TRITONBACKEND_RequestRelease(TrRequest *request, uint32_t flags)
{
    Outcome *outcome = request->outcome;
    if (flags != TR_REQUEST_RELEASE_ALL)
        finding("a request is released with flags %u", flags);
    outcome->released++;
    request_delete(request);
    return NULL;
}

TrError *TRITONBACKEND_ModelInstanceReportStatistics(TrInstance *instance, TrRequest *request,
                                                     bool success, uint64_t start_ns,
                                                     uint64_t compute_start_ns,
                                                     uint64_t compute_end_ns, uint64_t end_ns)
{
    MAY_FAIL;
    Outcome *outcome = request->outcome;
    if (!instance->model || start_ns > compute_start_ns || compute_start_ns > compute_end_ns ||
        compute_end_ns > end_ns)
        finding("a request has impossible statistics");
    if (!call_failed() && success != !outcome->error)
        finding("the statistics say %s of a request whose answer says otherwise",
                success ? "success" : "failure");
    outcome->reports++;
    return NULL;
}

TrError *TRITONBACKEND_ModelInstanceReportBatchStatistics(TrInstance *instance, uint64_t rows,
                                                          uint64_t start_ns,
                                                          uint64_t compute_start_ns,
                                                          uint64_t compute_end_ns, uint64_t end_ns)
{
    MAY_FAIL;
    if (!instance->model || rows > INT64_MAX || start_ns > compute_start_ns ||
        compute_start_ns > compute_end_ns || compute_end_ns > end_ns)
        finding("a batch has impossible statistics");
    return NULL;
}

/* Responses. */

struct TRITONBACKEND_Output {
    const Order *order;
    Value value; /* without its data until it is sent */
    char *block, *data;
    uint64_t bytes;
    bool placed;
};

struct TRITONBACKEND_Response {
    Outcome *outcome;
    TrOutput outputs[MOST_TENSORS];
    uint32_t output_count;
};

TrError *TRITONBACKEND_ResponseNew(TrResponse **response, TrRequest *request)
{
    MAY_FAIL;
    *response = must(calloc(1, sizeof **response));
    (*response)->outcome = request->outcome;
    request->outcome->responses++;
    return NULL;
}

static void response_free(TrResponse *response)
{
    for (uint32_t i = 0; i < response->output_count; i++) {
        free_value(&response->outputs[i].value);
        free(response->outputs[i].block);
    }
    free(response);
}

TrError *TRITONBACKEND_ResponseDelete(TrResponse *response)
{
    response->outcome->responses--;
    response_free(response);
    return NULL;
}

static void fill_value(Value *value, const char *name, int type, const int64_t *shape,
                       uint32_t rank)
{
    *value = (Value){.name = copy_text(name), .type = type, .rank = rank};
    if (rank > MOST_DIMS)
        abort();
    memcpy(value->dims, shape, rank * sizeof *shape);
    for (uint32_t i = 0; i < rank; i++)
        if (shape[i] < 0)
            finding("'%s' has a dimension of %" PRId64, name, shape[i]);
}

TrError *TRITONBACKEND_ResponseOutput(TrResponse *response, TrOutput **output, const char *name,
                                      int type, const int64_t *shape, uint32_t rank)
{
    MAY_FAIL;
    const Order *order = response->outcome->order;
    bool wanted = false;
    for (uint32_t i = 0; i < order->wanted_count; i++)
        wanted = wanted || !strcmp(order->wanted[i], name);
    if (!wanted)
        finding("output '%s' is answered and was not requested", name);
    for (uint32_t i = 0; i < response->output_count; i++)
        if (!strcmp(response->outputs[i].value.name, name))
            finding("output '%s' is answered twice", name);
    if (response->output_count == MOST_TENSORS)
        abort();
    *output = &response->outputs[response->output_count++];
    (*output)->order = order;
    fill_value(&(*output)->value, name, type, shape, rank);
    return NULL;
}

static uint64_t elements_of(const Value *value)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < value->rank; i++)
        if (__builtin_mul_overflow(count, (uint64_t)value->dims[i], &count))
            return UINT64_MAX;
    return count;
}

static void check_bytes(const Value *value, uint64_t bytes)
{
    size_t unit = element_size(value->type);
    if (unit && (elements_of(value) != bytes / unit || bytes % unit))
        finding("'%s' gets %" PRIu64 " bytes, its shape needs another number", value->name, bytes);
}

TrError *TRITONBACKEND_OutputBuffer(TrOutput *output, void **buffer, uint64_t bytes, int *memory,
                                    int64_t *memory_id)
{
    MAY_FAIL;
    if (output->placed)
        finding("output '%s' is placed twice", output->value.name);
    check_bytes(&output->value, bytes);
    output->placed = true;
    output->bytes = bytes;
    *memory = output->order->output_memory;
    *memory_id = 0;
    *buffer = NULL;
    if (!bytes || output->order->no_memory)
        return NULL;
    output->data = placed_block(output->order->output_offset, bytes, &output->block);
    memset(output->data, 0xA5, bytes);
    *buffer = output->data;
    return NULL;
}

/* Whether the bytes are lengths and texts, as many as the shape says. */
static void check_text(const Value *value)
{
    uint64_t at = 0, count = 0;
    for (; value->bytes - at >= 4; count++) {
        uint32_t length;
        memcpy(&length, value->data + at, 4);
        if (length > value->bytes - at - 4)
            break;
        at += 4 + length;
    }
    if (at != value->bytes || count != elements_of(value))
        finding("'%s' has text that is not laid out as its shape says", value->name);
}

static void keep_answer(Outcome *outcome, TrOutput *output)
{
    if (!output->placed)
        finding("output '%s' is sent without its data", output->value.name);
    Value *kept = &outcome->answers[outcome->answer_count++];
    *kept = output->value;
    kept->data = copy_bytes(output->data, output->data ? output->bytes : 0);
    kept->bytes = output->bytes;
    output->value = (Value){0};
    if (kept->type == BYTES_TYPE)
        check_text(kept);
}

TrError *TRITONBACKEND_ResponseSend(TrResponse *response, uint32_t flags, TrError *error)
{
    Outcome *outcome = response->outcome;
    if (flags != TR_RESPONSE_FINAL)
        finding("a response is sent with flags %u", flags);
    if (outcome->sent++)
        finding("a second response is sent");
    if (error && !outcome->error)
        outcome->error = copy_text(error->text);
    for (uint32_t i = 0; !error && i < response->output_count; i++)
        keep_answer(outcome, &response->outputs[i]);
    response_free(response);
    return NULL;
}

/* States of a sequence. */

TrError *TRITONBACKEND_StateNew(TrState **state, TrRequest *request, const char *name, int type,
                                const int64_t *shape, uint32_t rank)
{
    MAY_FAIL;
    if (request->state_count == MOST_TENSORS)
        abort();
    *state = must(calloc(1, sizeof **state));
    request->states[request->state_count++] = *state;
    (*state)->request = request;
    fill_value(&(*state)->value, name, type, shape, rank);
    return NULL;
}

TrError *TRITONBACKEND_StateBuffer(TrState *state, void **buffer, uint64_t bytes, int *memory,
                                   int64_t *memory_id)
{
    MAY_FAIL;
    if (state->placed)
        finding("state '%s' is placed twice", state->value.name);
    check_bytes(&state->value, bytes);
    const Order *order = state->request->outcome->order;
    state->placed = true;
    state->value.data = must(malloc(bytes + !bytes));
    state->value.bytes = bytes;
    *buffer = bytes && !order->no_memory ? state->value.data : NULL;
    *memory = order->output_memory;
    *memory_id = 0;
    return NULL;
}

TrError *TRITONBACKEND_StateUpdate(TrState *state)
{
    MAY_FAIL;
    if (!state->placed || state->updated)
        finding("state '%s' is updated without data or twice", state->value.name);
    state->updated = true;
    return NULL;
}

/* Requests that are executed. */

static void check_rules(const Outcome *outcome)
{
    const Order *order = outcome->order;
    if (outcome->released != 1)
        finding("a request is released %d times", outcome->released);
    if (call_failed()) /* that call can have been the one that answers or reports */
        return;
    if (outcome->responses != 1 || outcome->sent != 1)
        finding("a request has %d responses, of which %d are sent", outcome->responses,
                outcome->sent);
    if (outcome->reports != 1)
        finding("a request is reported %d times", outcome->reports);
    for (uint32_t i = 0; !outcome->error && i < order->wanted_count; i++) {
        bool there = false;
        for (uint32_t j = 0; j < outcome->answer_count; j++)
            there = there || !strcmp(outcome->answers[j].name, order->wanted[i]);
        if (!there)
            finding("output '%s' was requested and is not answered", order->wanted[i]);
    }
}

void execute_orders(TrInstance *instance, const Order *const *orders, Outcome *outcomes,
                    uint32_t count)
{
    TrRequest **requests = must(malloc(count * sizeof *requests));
    for (uint32_t i = 0; i < count; i++) {
        outcomes[i].order = orders[i];
        requests[i] = request_new(&outcomes[i]);
    }
    TrError *error = TRITONBACKEND_ModelInstanceExecute(instance, requests, count);
    if (error) { /* then the requests are Triton's again */
        finding("an execution failed: %s", error->text);
        TRITONSERVER_ErrorDelete(error);
    }
    free(requests);
    for (uint32_t i = 0; i < count; i++)
        check_rules(&outcomes[i]);
}
