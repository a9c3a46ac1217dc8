#include "scenario.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

enum { MOST_INSTANCES = 8, MOST_ORDERS = 32 };

typedef struct {
    const char *folder, *library;
    bool rules_alone;
    int line;
    char options[4096]; /* members of the backend's `cmdline` */
    TrBackend *backend;
    TrModel model;
    bool loaded;
    TrInstance instances[MOST_INSTANCES];
    size_t instance_count;
    int kind;
    Order *orders[MOST_ORDERS];
    uint32_t order_count;
} Play;

TrError *start_backend(const char *config, TrBackend **made)
{
    *made = backend_new(config);
    TrError *error = TRITONBACKEND_Initialize(*made);
    if (!error)
        error = TRITONBACKEND_GetBackendAttribute(*made, (TrAttributes *)*made);
    return error;
}

void stop_backend(TrBackend *backend)
{
    TrError *error = TRITONBACKEND_Finalize(backend);
    if (error)
        TRITONSERVER_ErrorDelete(error);
    backend_delete(backend);
}

TrError *load_model(TrModel *model)
{
    TrError *error = TRITONBACKEND_ModelInitialize(model);
    if (error)
        unload_model(model);
    return error;
}

void unload_model(TrModel *model)
{
    TrError *error = TRITONBACKEND_ModelFinalize(model);
    model->state = NULL;
    if (!error)
        return;
    finding("a model is not finalized: %s", error->text);
    TRITONSERVER_ErrorDelete(error);
}

TrError *load_instance(TrInstance *instance)
{
    TrError *error = TRITONBACKEND_ModelInstanceInitialize(instance);
    if (error)
        unload_instance(instance);
    return error;
}

void unload_instance(TrInstance *instance)
{
    TrError *error = TRITONBACKEND_ModelInstanceFinalize(instance);
    instance->state = NULL;
    if (!error)
        return;
    finding("an instance is not finalized: %s", error->text);
    TRITONSERVER_ErrorDelete(error);
}

/* Expectations. */

static void expect_error(Play *play, const char *what, TrError *error, const char *expected)
{
    if (!play->rules_alone) {
        if (!error && expected)
            finding("line %d: %s succeeds, expected: %s", play->line, what, expected);
        else if (error && !expected)
            finding("line %d: %s fails: %s", play->line, what, error->text);
        else if (error && !strstr(error->text, expected))
            finding("line %d: %s fails: %s; expected: %s", play->line, what, error->text, expected);
    }
    if (error)
        TRITONSERVER_ErrorDelete(error);
}

static void expect_values(const Play *play, const Value *expected, uint32_t expected_count,
                          const Value *found, uint32_t found_count)
{
    if (expected_count != found_count)
        finding("line %d: %u tensors are answered, expected %u", play->line, found_count,
                expected_count);
    for (uint32_t i = 0; i < expected_count; i++) {
        const Value *one = &expected[i], *other = NULL;
        for (uint32_t j = 0; j < found_count; j++)
            if (!strcmp(found[j].name, one->name))
                other = &found[j];
        if (!other)
            finding("line %d: '%s' is not answered", play->line, one->name);
        else if (one->type != other->type)
            finding("line %d: '%s' has %s, expected %s", play->line, one->name,
                    type_word(other->type), type_word(one->type));
        else if (one->rank != other->rank ||
                 memcmp(one->dims, other->dims, one->rank * sizeof *one->dims))
            finding("line %d: '%s' has another shape", play->line, one->name);
        else if (one->bytes != other->bytes || memcmp(one->data, other->data, one->bytes))
            finding("line %d: '%s' has other data", play->line, one->name);
    }
}

static void expect_outcome(const Play *play, const Outcome *outcome)
{
    const Order *order = outcome->order;
    const char *error = outcome->error;
    if (play->rules_alone)
        return;
    if (order->error && (!error || !strstr(error, order->error)))
        finding("line %d: a request has %s%s, expected the error: %s", play->line,
                error ? "the error " : "an answer", error ? error : "", order->error);
    if (order->error)
        return;
    if (error) {
        finding("line %d: a request fails: %s", play->line, error);
        return;
    }
    expect_values(play, order->answers, order->answer_count, outcome->answers,
                  outcome->answer_count);
    expect_values(play, order->states, order->state_count, outcome->states, outcome->state_count);
}

/* Steps. */

static void start(Play *play, const char *expected)
{
    char config[2 * sizeof play->options];
    if (play->backend)
        stop_backend(play->backend);
    snprintf(config, sizeof config, "{\"cmdline\":{%s\"library\":\"%s\"}}", play->options,
             play->library);
    TrError *error = start_backend(config, &play->backend);
    if (error) {
        stop_backend(play->backend);
        play->backend = NULL;
    }
    expect_error(play, "the start", error, expected);
}

static void unload(Play *play)
{
    while (play->instance_count)
        unload_instance(&play->instances[--play->instance_count]);
    if (play->loaded)
        unload_model(&play->model);
    free(play->model.config);
    free(play->model.repository);
    play->model = (TrModel){0};
    play->loaded = false;
}

static void configure(Play *play, const char *config)
{
    unload(play);
    play->model = (TrModel){.config = copy_text(config), .version = 1};
    size_t size = strlen(play->folder) + sizeof "/model";
    play->model.repository = must(malloc(size));
    snprintf(play->model.repository, size, "%s/model", play->folder);
}

static void load(Play *play, const char *expected)
{
    if (!play->backend)
        start(play, NULL);
    if (!play->backend)
        return;
    TrError *error = load_model(&play->model);
    play->loaded = !error;
    expect_error(play, "the load", error, expected);
}

static void add_instance(Play *play, const char *expected)
{
    if (!play->loaded || play->instance_count == MOST_INSTANCES)
        return;
    TrInstance *instance = &play->instances[play->instance_count];
    *instance = (TrInstance){.model = &play->model, .kind = play->kind};
    TrError *error = load_instance(instance);
    play->instance_count += !error;
    expect_error(play, "an instance", error, expected);
}

static void free_orders(Play *play)
{
    for (uint32_t i = 0; i < play->order_count; i++) {
        Order *order = play->orders[i];
        for (uint32_t j = 0; j < order->input_count; j++)
            free_value(&order->inputs[j].value);
        for (uint32_t j = 0; j < order->wanted_count; j++)
            free(order->wanted[j]);
        for (uint32_t j = 0; j < order->answer_count; j++)
            free_value(&order->answers[j]);
        for (uint32_t j = 0; j < order->state_count; j++)
            free_value(&order->states[j]);
        free(order->error);
        free(order);
    }
    play->order_count = 0;
}

static void execute_all(Play *play, TrInstance *instance)
{
    Outcome *outcomes = must(calloc(play->order_count, sizeof *outcomes));
    execute_orders(instance, (const Order *const *)play->orders, outcomes, play->order_count);
    for (uint32_t i = 0; i < play->order_count; i++) {
        expect_outcome(play, &outcomes[i]);
        free_outcome(&outcomes[i]);
    }
    free(outcomes);
}

typedef struct {
    Play *play;
    TrInstance *instance;
    int64_t times;
} Thread;

static void *execute_in_thread(void *argument)
{
    Thread *thread = argument;
    for (int64_t i = 0; i < thread->times; i++)
        execute_all(thread->play, thread->instance);
    return NULL;
}

/* Every instance executes the orders so many times; several instances do so at the same time. */
static void run(Play *play, int64_t times)
{
    pthread_t threads[MOST_INSTANCES];
    Thread work[MOST_INSTANCES];
    size_t count = play->instance_count;
    for (size_t i = 0; i < count; i++)
        work[i] = (Thread){play, &play->instances[i], play->rules_alone && times > 2 ? 2 : times};
    if (count == 1 || play->rules_alone) {
        for (size_t i = 0; i < count; i++)
            execute_in_thread(&work[i]);
    } else {
        for (size_t i = 0; i < count; i++)
            if (pthread_create(&threads[i], NULL, execute_in_thread, &work[i]))
                abort();
        for (size_t i = 0; i < count; i++)
            pthread_join(threads[i], NULL);
    }
    free_orders(play);
}

static Order *last_order(Play *play)
{
    if (!play->order_count)
        abort();
    return play->orders[play->order_count - 1];
}

static void add_order(Play *play)
{
    if (play->order_count == MOST_ORDERS)
        abort();
    Order *order = must(calloc(1, sizeof *order));
    order->cancelled_after_ms = -1;
    play->orders[play->order_count++] = order;
}

static Value zeros(char **rest)
{
    Value value = read_value(rest);
    value.bytes = element_size(value.type);
    for (uint32_t i = 0; i < value.rank; i++)
        value.bytes *= (uint64_t)value.dims[i];
    free(value.data);
    value.data = must(calloc(value.bytes + !value.bytes, 1));
    return value;
}

static void add_input(Order *order, Value value)
{
    order->inputs[order->input_count++] = (Given){.value = value,
                                                  .said_bytes = value.bytes,
                                                  .piece_count = 1,
                                                  .pieces = {value.bytes},
                                                  .memory = TR_MEMORY_CPU};
}

/* How the last input lies in memory. */
static bool change_input(Order *order, const char *step, char **rest)
{
    Given *given = order->input_count ? &order->inputs[order->input_count - 1] : NULL;
    if (!strcmp(step, "pieces")) {
        given->piece_count = 0;
        for (char *size; (size = word(rest));)
            given->pieces[given->piece_count++] = strtoull(size, NULL, 10);
    } else if (!strcmp(step, "offset")) {
        given->offset = (size_t)number(rest);
    } else if (!strcmp(step, "said-bytes")) {
        given->said_bytes = strtoull(needed_word(rest), NULL, 10);
    } else if (!strcmp(step, "on-gpu")) {
        given->memory = TR_MEMORY_GPU;
    } else {
        return false;
    }
    return true;
}

static bool change_order(Order *order, const char *step, char **rest)
{
    if (!strcmp(step, "input"))
        add_input(order, read_value(rest));
    else if (!strcmp(step, "zeros")) /* NAME TYPE DIMS */
        add_input(order, zeros(rest));
    else if (!strcmp(step, "want"))
        order->wanted[order->wanted_count++] = copy_text(needed_word(rest));
    else if (!strcmp(step, "answer"))
        order->answers[order->answer_count++] = read_value(rest);
    else if (!strcmp(step, "state"))
        order->states[order->state_count++] = read_value(rest);
    else if (!strcmp(step, "error"))
        order->error = copy_text(needed_word(rest));
    else if (!strcmp(step, "cancel-after-ms"))
        order->cancelled_after_ms = (long)number(rest);
    else if (!strcmp(step, "output-offset"))
        order->output_offset = (size_t)number(rest);
    else if (!strcmp(step, "output-on-gpu"))
        order->output_memory = TR_MEMORY_GPU;
    else if (!strcmp(step, "no-memory"))
        order->no_memory = true;
    else
        return change_input(order, step, rest);
    return true;
}

static void take_step(Play *play, const char *step, char **rest)
{
    if (!strcmp(step, "option")) { /* NAME VALUE, before the start */
        size_t at = strlen(play->options);
        const char *name = needed_word(rest);
        snprintf(play->options + at, sizeof play->options - at, "\"%s\":\"%s\",", name,
                 needed_word(rest));
    } else if (!strcmp(step, "start")) {
        start(play, word(rest));
    } else if (!strcmp(step, "config")) {
        configure(play, needed_word(rest));
    } else if (!strcmp(step, "complete")) {
        play->model.complete = true;
    } else if (!strcmp(step, "version")) {
        play->model.version = strtoull(needed_word(rest), NULL, 10);
    } else if (!strcmp(step, "load")) {
        load(play, word(rest));
    } else if (!strcmp(step, "try-load")) { /* it may fail */
        bool expecting = !play->rules_alone;
        play->rules_alone = true;
        load(play, NULL);
        play->rules_alone = !expecting;
    } else if (!strcmp(step, "unload")) {
        unload(play);
    } else if (!strcmp(step, "completed")) {
        const char *part = needed_word(rest);
        if (!play->rules_alone && !strstr(play->model.config, part))
            finding("line %d: the configuration has no %s: %s", play->line, part,
                    play->model.config);
    } else if (!strcmp(step, "gpu-instances")) {
        play->kind = TR_KIND_GPU;
    } else if (!strcmp(step, "instance")) {
        add_instance(play, word(rest));
    } else if (!strcmp(step, "request")) {
        add_order(play);
    } else if (!strcmp(step, "run")) {
        run(play, number(rest));
    } else if (!change_order(last_order(play), step, rest)) {
        fprintf(stderr, "line %d: unknown step %s\n", play->line, step);
        abort();
    }
}

void play_scenario(const char *folder, const char *library, bool rules_alone)
{
    Play play = {
        .folder = folder, .library = library, .rules_alone = rules_alone, .kind = TR_KIND_CPU};
    char path[4096], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/scenario.txt", folder);
    FILE *file = must(fopen(path, "r"));
    while (getline(&line, &size, file) > 0) {
        char *rest, *step;
        play.line++;
        line[strcspn(line, "\n")] = 0;
        step = strtok_r(line, " ", &rest);
        if (rules_alone && call_failed() && step && !strcmp(step, "config"))
            break; /* what follows was played before, with an earlier call */
        if (step)
            take_step(&play, step, &rest);
    }
    free(line);
    fclose(file);
    free_orders(&play);
    unload(&play);
    if (play.backend)
        stop_backend(play.backend);
}
