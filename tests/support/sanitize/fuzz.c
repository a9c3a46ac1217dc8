#include "fuzz.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"
#include "words.h"

enum {
    MOST_SUBJECTS = 200,
    MOST_REQUESTS = 5,
    MOST_INSTANCES = 2,
    RUNS_PER_BACKEND = 50,
    BACKENDS_PER_LEAK_CHECK = 10,
    LONGEST_RUN_S = 60
};

typedef enum { INPUT, INITIALIZER, CONTROL, STATE, COUNTED, OUTPUT } Role;

/* A tensor of a model: a line ROLE OTHER NAME TYPE DIMS. */
typedef struct {
    Role role;
    Value value;
    char *other; /* the output of a STATE, the source of a COUNTED, the input an OUTPUT copies; or
                    NULL, which is a line's - */
} Part;

typedef struct {
    char *folder;
    Part parts[MOST_TENSORS];
    size_t count;
    bool batches;
} Subject;

static Subject subjects[MOST_SUBJECTS];
static size_t subject_count;
static uint64_t seed_now, random_state;
static long loaded, requested, answered, runs;

/* Random numbers: splitmix64. */

static uint64_t random_bits(void)
{
    uint64_t bits = random_state += 0x9E3779B97F4A7C15u;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    return bits ^ (bits >> 31);
}

static uint64_t below(uint64_t count)
{
    return random_bits() % count;
}

static bool percent(uint64_t chance)
{
    return below(100) < chance;
}

#define PICK(list) ((list)[below(sizeof(list) / sizeof *(list))])

static int64_t strange_number(void)
{
    static const int64_t numbers[] = {
        -1, -2, 0, 1, 2, 3, 7, 33, 1 << 16, 1LL << 31, 1LL << 40, 1LL << 62, INT64_MAX, INT64_MIN};
    return PICK(numbers);
}

static char *strange_name(void)
{
    static const char *const names[] = {"",    "x",        "y", "%s", "%n",
                                        "a b", "\xff\xfe", "é", "\"", "\\u"};
    return copy_text(PICK(names));
}

/* Models. */

static Role role_named(const char *name)
{
    static const char *const names[] = {"input", "initializer", "control",
                                        "state", "counted",     "output"};
    for (Role role = INPUT; role <= OUTPUT; role++)
        if (!strcmp(names[role], name))
            return role;
    abort();
}

static void read_subject(Subject *subject)
{
    char path[4096], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/tensors.txt", subject->folder);
    FILE *file = must(fopen(path, "r"));
    while (getline(&line, &size, file) > 0) {
        char *rest, *first;
        line[strcspn(line, "\n")] = 0;
        first = must(strtok_r(line, " ", &rest));
        if (!strcmp(first, "batches")) {
            subject->batches = true;
            continue;
        }
        Part *part = &subject->parts[subject->count++];
        part->role = role_named(first);
        const char *other = needed_word(&rest);
        part->other = strcmp(other, "-") ? copy_text(other) : NULL;
        part->value = read_value(&rest);
    }
    free(line);
    fclose(file);
}

static void read_subjects(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && subject_count < MOST_SUBJECTS) {
            Subject *subject = &subjects[subject_count++];
            size_t size = strlen(folder) + strlen(entries[i]->d_name) + 2;
            subject->folder = must(malloc(size));
            snprintf(subject->folder, size, "%s/%s", folder, entries[i]->d_name);
            read_subject(subject);
        }
        free(entries[i]);
    }
    free(entries);
    must(subject_count ? subjects : NULL);
}

/* Configurations. */

static void write_name(FILE *out, const char *name)
{
    fputc('"', out);
    for (; *name; name++)
        if (*name == '"' || *name == '\\')
            fprintf(out, "\\%c", *name);
        else
            fputc(*name, out);
    fputc('"', out);
}

static void write_type(FILE *out, const Part *part)
{
    int type = percent(2) ? (int)below(TYPE_NUMBERS + 1) : part->value.type;
    fprintf(out, "\"data_type\":\"TYPE_%s\"", type == BYTES_TYPE ? "STRING" : type_word(type));
}

static void write_dims(FILE *out, const Part *part, bool batched)
{
    const Value *value = &part->value;
    uint32_t skipped = batched && value->rank ? 1 : 0;
    fputs("\"dims\":[", out);
    if (value->rank <= skipped)
        fputs("\"1\"", out);
    for (uint32_t i = skipped; i < value->rank; i++) {
        int64_t dim = value->dims[i];
        if (percent(2))
            dim = strange_number();
        else if (dim < 0 && part->role != OUTPUT && percent(10))
            dim = (int64_t)below(4);
        fprintf(out, "%s\"%" PRId64 "\"", i > skipped ? "," : "", dim);
    }
    fputc(']', out);
    if (value->rank <= skipped && batched)
        fputs(",\"reshape\":{\"shape\":[]}", out);
}

typedef struct {
    char *text;
    bool ragged; /* it has an input of that kind: requests are not simply put one after the other */
} Config;

static void write_tensor(FILE *out, const Part *part, bool batched, Config *config)
{
    char *name = percent(2) ? strange_name() : copy_text(part->value.name);
    fputs("{\"name\":", out);
    write_name(out, name);
    free(name);
    fputc(',', out);
    write_type(out, part);
    fputc(',', out);
    write_dims(out, part, batched);
    if (part->role == INITIALIZER ? percent(95) : percent(1))
        fputs(",\"optional\":true", out);
    bool fits = part->role == INPUT && part->value.rank == 1 && part->value.dims[0] < 0;
    if (part->role != OUTPUT && percent(fits && batched ? 40 : 1)) {
        fputs(",\"allow_ragged_batch\":true", out);
        config->ragged = true;
    }
    fputc('}', out);
}

/* A list of the parts of a role; `write` writes one. */
static void write_parts(FILE *out, const Subject *subject, Role role, bool batched, Config *config)
{
    bool first = true;
    for (size_t i = 0; i < subject->count; i++) {
        const Part *part = &subject->parts[i];
        if (part->role != role && !(role == INPUT && part->role == INITIALIZER && percent(60)))
            continue;
        if (percent(2))
            continue;
        fputs(first ? "" : ",", out);
        first = false;
        write_tensor(out, part, batched, config);
    }
}

static void write_batch_io(FILE *out, const Subject *subject)
{
    static const char *const kinds[] = {"ELEMENT_COUNT",
                                        "ACCUMULATED_ELEMENT_COUNT",
                                        "ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
                                        "MAX_ELEMENT_COUNT_AS_SHAPE",
                                        "ITEM_SHAPE",
                                        "ITEM_SHAPE_FLATTEN",
                                        "OTHER"};
    bool any = false;
    for (size_t i = 0; i < subject->count; i++) {
        const Part *part = &subject->parts[i];
        if (part->role != COUNTED || percent(2))
            continue;
        fputs(any ? "," : ",\"batch_input\":[", out);
        any = true;
        fprintf(out, "{\"kind\":\"BATCH_%s\",", PICK(kinds));
        write_type(out, part);
        fputs(",\"target_name\":[", out);
        write_name(out, part->value.name);
        fputs("],\"source_input\":[", out);
        write_name(out, percent(3) ? "other" : part->other);
        fputs("]}", out);
    }
    fputs(any ? "]" : "", out);
    for (size_t i = 0; i < subject->count; i++) {
        const Part *part = &subject->parts[i];
        if (part->role != OUTPUT || !part->other || !percent(40))
            continue;
        fputs(",\"batch_output\":[{\"kind\":\"BATCH_SCATTER_WITH_INPUT_SHAPE\",\"target_name\":[",
              out);
        write_name(out, part->value.name);
        fputs("],\"source_input\":[", out);
        write_name(out, part->other);
        fputs("]}]", out);
        break;
    }
}

static void write_sequences(FILE *out, const Subject *subject)
{
    static const char *const switches[] = {
        "\"fp32_false_true\":[0,1]", "\"int32_false_true\":[0,1]",
        "\"bool_false_true\":[false,true]", "\"data_type\":\"TYPE_UINT64\""};
    bool controls = false, states = false;
    fputs(",\"sequence_batching\":{\"control_input\":[", out);
    for (size_t i = 0; i < subject->count; i++) {
        const Part *part = &subject->parts[i];
        if (part->role != CONTROL || percent(2))
            continue;
        size_t fitting = part->value.type == FP32_TYPE ? 0
                         : part->value.type == 8       ? 1
                         : part->value.type == 1       ? 2
                                                       : 3;
        fputs(controls ? ",{\"name\":" : "{\"name\":", out);
        controls = true;
        write_name(out, part->value.name);
        fprintf(out, ",\"control\":[{\"kind\":\"CONTROL_SEQUENCE_START\",%s}]}",
                percent(3) ? PICK(switches) : switches[fitting]);
    }
    fputs("],\"state\":[", out);
    for (size_t i = 0; i < subject->count; i++) {
        const Part *part = &subject->parts[i];
        if (part->role != STATE || percent(2))
            continue;
        fputs(states ? ",{\"input_name\":" : "{\"input_name\":", out);
        states = true;
        write_name(out, part->value.name);
        fputs(",\"output_name\":", out);
        write_name(out, percent(3) ? "y" : part->other);
        fputc(',', out);
        write_type(out, part);
        fputc(',', out);
        write_dims(out, part, subject->batches);
        fputc('}', out);
    }
    fputs("]}", out);
}

static void write_parameters(FILE *out)
{
    static const char *const names[] = {"execution_mode",
                                        "intra_op_thread_count",
                                        "inter_op_thread_count",
                                        "enable_mem_arena",
                                        "enable_mem_pattern",
                                        "share_session_between_instances",
                                        "memory.enable_memory_arena_shrinkage",
                                        "session.use_device_allocator_for_initializers",
                                        "unknown"};
    static const char *const values[] = {
        "0",   "1", "1", "0",     "1",  "0", "true",
        "off", "",  "2", "cpu:0", "-1", "x", "99999999999999999999"};
    fputs(",\"parameters\":{", out);
    for (uint64_t i = 0, count = below(4); i <= count; i++)
        fprintf(out, "%s\"%s\":{\"string_value\":\"%s\"}", i ? "," : "", PICK(names), PICK(values));
    fputc('}', out);
}

static void write_config(FILE *out, const Subject *subject, Config *config)
{
    bool batched = subject->batches && percent(80);
    bool sequences = false;
    for (size_t i = 0; i < subject->count; i++)
        sequences =
            sequences || subject->parts[i].role == CONTROL || subject->parts[i].role == STATE;
    int64_t most = percent(3) ? strange_number() : batched ? 1 + (int64_t)below(8) : 0;
    fprintf(out, "{\"name\":\"model\",\"max_batch_size\":%" PRId64 ",\"input\":[", most);
    write_parts(out, subject, INPUT, batched, config);
    fputs("],\"output\":[", out);
    write_parts(out, subject, OUTPUT, batched, config);
    fputc(']', out);
    write_batch_io(out, subject);
    if (sequences || percent(2))
        write_sequences(out, subject);
    if (percent(30))
        write_parameters(out);
    if (percent(10))
        fprintf(out, ",\"optimization\":{\"graph\":{\"level\":%d}}", (int)below(5) - 1);
    fputc('}', out);
}

/* Bytes of the text are changed, cut out or repeated. */
static void damage(Config *config)
{
    for (uint64_t i = 0, count = 1 + below(4); i < count; i++) {
        size_t size = strlen(config->text), at = below(size + 1);
        size_t length = below(1 + (size - at < 40 ? size - at : 40));
        static const char bytes[] = "{}[]\",:\\u0-e. \x01\xff";
        char *changed = must(malloc(size + length + 2));
        memcpy(changed, config->text, at);
        if (percent(40)) { /* cut out */
            memcpy(changed + at, config->text + at + length, size - at - length + 1);
        } else if (percent(50)) { /* repeated */
            memcpy(changed + at, config->text + at, length);
            memcpy(changed + at + length, config->text + at, size - at + 1);
        } else {
            memcpy(changed + at, config->text + at, size - at + 1);
            if (at < size)
                changed[at] = bytes[below(sizeof bytes - 1)];
        }
        free(config->text);
        config->text = changed;
    }
    config->ragged = true; /* nothing is known of it */
}

static Config random_config(const Subject *subject)
{
    Config config = {NULL, false};
    size_t size;
    FILE *out = must(open_memstream(&config.text, &size));
    if (percent(5))
        fputs(percent(50) ? "{}" : "{\"max_batch_size\":3}", out);
    else
        write_config(out, subject, &config);
    fclose(out);
    if (percent(10))
        damage(&config);
    return config;
}

/* Requests. */

static uint64_t elements_of(const Value *value)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < value->rank; i++)
        count *= (uint64_t)value->dims[i];
    return count;
}

static void fill_text(Value *value)
{
    FILE *out = must(open_memstream(&value->data, &value->bytes));
    for (uint64_t i = 0, count = elements_of(value); i < count; i++) {
        uint32_t length = (uint32_t)below(percent(3) ? 400 : 12);
        fwrite(&length, 4, 1, out);
        while (length--)
            fputc((int)below(256), out);
    }
    fclose(out);
}

static void fill_numbers(Value *value)
{
    value->bytes = elements_of(value) * element_size(value->type);
    value->data = must(malloc(value->bytes + !value->bytes));
    for (uint64_t i = 0; i < value->bytes; i++)
        value->data[i] = (char)(value->type == 1 ? below(2) : random_bits());
}

/* Something is wrong with it. */
static void spoil(Given *given)
{
    Value *value = &given->value;
    uint32_t dim = value->rank ? (uint32_t)below(value->rank) : 0;
    switch (below(9)) {
    case 0:
        value->type = (int)below(TYPE_NUMBERS + 2);
        break;
    case 1:
        value->dims[value->rank++] = percent(50) ? 1 : strange_number();
        break;
    case 2:
        value->rank -= value->rank > 0;
        break;
    case 3:
    case 4:
        value->dims[dim] = strange_number();
        break;
    case 5:
        given->said_bytes = percent(50) ? value->bytes + below(9) - 4 : (uint64_t)strange_number();
        break;
    case 6: /* shorter */
        value->bytes -= value->bytes ? 1 + below(value->bytes) : 0;
        given->said_bytes = value->bytes;
        break;
    case 7:
        free(value->name);
        value->name = strange_name();
        break;
    default:
        given->memory = TR_MEMORY_GPU;
    }
}

static void cut(Given *given)
{
    uint64_t left = given->value.bytes;
    given->piece_count = 0;
    for (uint64_t i = 0, count = percent(70) ? 0 : below(MOST_PIECES - 1); i < count; i++)
        left -= given->pieces[given->piece_count++] = below(left + 1);
    if (left || percent(90))
        given->pieces[given->piece_count++] = left;
}

static void add_input(Order *order, const Part *part, int64_t rows, int64_t length, bool wrong)
{
    static const size_t offsets[] = {0, 0, 0, 1, 8, 16, 63};
    Given *given = &order->inputs[order->input_count++];
    Value *value = &given->value;
    *value = part->value;
    value->name = copy_text(part->value.name);
    for (uint32_t i = 0; i < value->rank; i++)
        if (value->dims[i] < 0)
            value->dims[i] = i ? length : rows;
    if (!value->rank) /* Triton has no scalars */
        value->dims[value->rank++] = 1;
    value->data = NULL;
    if (value->type == BYTES_TYPE)
        fill_text(value);
    else
        fill_numbers(value);
    given->said_bytes = value->bytes;
    given->memory = percent(50) ? TR_MEMORY_CPU : TR_MEMORY_CPU_PINNED;
    if (wrong)
        spoil(given);
    given->offset = PICK(offsets);
    cut(given);
}

/* Every request of one execution has the same `length`, mostly, so that some are joined. */
static Order *random_order(const Subject *subject, const Config *config, int64_t length)
{
    static const size_t offsets[] = {0, 0, 0, 8, 16};
    Order *order = must(calloc(1, sizeof *order));
    bool wrong = percent(10);
    int64_t rows = (int64_t)below(percent(10) ? 12 : 4);
    if (percent(10))
        length = (int64_t)below(5);
    for (size_t i = 0; i < subject->count; i++) {
        const Part *part = &subject->parts[i];
        if (part->role == COUNTED || part->role == OUTPUT ||
            (part->role == INITIALIZER && percent(60)) || percent(1))
            continue;
        if (config->ragged && part->role == INPUT && part->value.rank == 1 && subject->batches) {
            Part batched = *part; /* the batch comes first */
            batched.value.rank = 2;
            batched.value.dims[1] = (int64_t)below(5);
            add_input(order, &batched, rows, length, wrong && percent(30));
            continue;
        }
        add_input(order, part, rows, length, wrong && percent(50));
    }
    for (size_t i = 0; i < subject->count; i++)
        if (subject->parts[i].role == OUTPUT && percent(85))
            order->wanted[order->wanted_count++] = copy_text(subject->parts[i].value.name);
    if (percent(1))
        order->wanted[order->wanted_count++] = copy_text("there is no such output");
    order->cancelled_after_ms = percent(3) ? 0 : -1;
    order->output_offset = PICK(offsets);
    order->output_memory = percent(1) ? TR_MEMORY_GPU : TR_MEMORY_CPU;
    order->no_memory = percent(1);
    return order;
}

static void free_order(Order *order)
{
    for (uint32_t i = 0; i < order->input_count; i++)
        free_value(&order->inputs[i].value);
    for (uint32_t i = 0; i < order->wanted_count; i++)
        free(order->wanted[i]);
    free(order);
}

/* An output that copies an input has its bytes. */
static void check_copy(const Order *order, const Value *answer, const Part *part)
{
    for (uint32_t i = 0; i < order->input_count; i++) {
        const Value *given = &order->inputs[i].value;
        if (strcmp(given->name, part->other))
            continue;
        if (given->bytes != answer->bytes || memcmp(given->data, answer->data, answer->bytes))
            finding("output '%s' is no copy of input '%s'", answer->name, given->name);
    }
}

static void check_answers(const Subject *subject, const Outcome *outcome)
{
    for (uint32_t i = 0; i < outcome->answer_count; i++)
        for (size_t j = 0; j < subject->count; j++) {
            const Part *part = &subject->parts[j];
            if (part->role == OUTPUT && part->other &&
                !strcmp(part->value.name, outcome->answers[i].name))
                check_copy(outcome->order, &outcome->answers[i], part);
        }
}

typedef struct {
    const Subject *subject;
    const Config *config;
    TrInstance instance;
    Order *orders[MOST_REQUESTS];
    uint32_t count;
    long answered;
} Work;

static void *execute_work(void *argument)
{
    Work *work = argument;
    for (int time = 0; time < 2; time++) { /* an output is computed in place the second time */
        Outcome outcomes[MOST_REQUESTS] = {0};
        execute_orders(&work->instance, (const Order *const *)work->orders, outcomes, work->count);
        for (uint32_t i = 0; i < work->count; i++) {
            work->answered += !outcomes[i].error;
            if (!work->config->ragged && !outcomes[i].error)
                check_answers(work->subject, &outcomes[i]);
            free_outcome(&outcomes[i]);
        }
    }
    return NULL;
}

static void execute_random(const Subject *subject, const Config *config, Work *works, size_t count)
{
    pthread_t threads[MOST_INSTANCES];
    int64_t length = (int64_t)below(5);
    for (size_t i = 0; i < count; i++) {
        works[i].count = 1 + (uint32_t)below(MOST_REQUESTS);
        for (uint32_t j = 0; j < works[i].count; j++)
            works[i].orders[j] = random_order(subject, config, length);
    }
    for (size_t i = 1; i < count; i++)
        if (pthread_create(&threads[i], NULL, execute_work, &works[i]))
            abort();
    execute_work(&works[0]);
    for (size_t i = 1; i < count; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < count; i++) {
        requested += 2 * works[i].count;
        answered += works[i].answered;
        works[i].answered = 0;
        for (uint32_t j = 0; j < works[i].count; j++)
            free_order(works[i].orders[j]);
    }
}

/* One run. */

static bool accepted(TrError *error)
{
    if (!error)
        return true;
    if (show_log)
        fprintf(stderr, "%s\n", error->text);
    TRITONSERVER_ErrorDelete(error);
    return false;
}

static void run_model(const Subject *subject)
{
    Config config = random_config(subject);
    TrModel model = {.config = copy_text(config.text), .version = 1, .complete = percent(30)};
    size_t size = strlen(subject->folder) + sizeof "/model", count = 0;
    model.repository = must(malloc(size));
    snprintf(model.repository, size, "%s/model", subject->folder);
    if (show_log)
        fprintf(stderr, "%s: %s\n", subject->folder, config.text);
    if (accepted(load_model(&model))) {
        Work works[MOST_INSTANCES];
        loaded++;
        for (size_t wanted = percent(20) ? MOST_INSTANCES : 1; count < wanted; count++) {
            works[count] = (Work){.subject = subject, .config = &config};
            works[count].instance = (TrInstance){.model = &model, .kind = TR_KIND_CPU};
            if (!accepted(load_instance(&works[count].instance)))
                break;
        }
        for (uint64_t i = 0, times = 1 + below(4); count && i < times; i++)
            execute_random(subject, &config, works, count);
        while (count)
            unload_instance(&works[--count].instance);
        unload_model(&model);
    }
    free(model.config);
    free(model.repository);
    free(config.text);
}

static void print_seed(void)
{
    printf("\nseed %" PRIu64 " ended the process\n", seed_now);
    fflush(stdout);
}

static void too_long(int number)
{
    (void)number;
    printf("\nfinding: seed %" PRIu64 " did not end in %d s\n", seed_now, LONGEST_RUN_S);
    fflush(stdout);
    abort();
}

/* The backend of a seed, which it shares with its neighbours. */
static TrBackend *backend_of(const char *library, uint64_t seed)
{
    static const char *const options[] = {"", "\"enable-global-threadpool\":\"1\",",
                                          "\"default-max-batch-size\":\"4\","};
    char config[8192];
    TrBackend *backend;
    random_state = seed / RUNS_PER_BACKEND;
    verbose = percent(10);
    snprintf(config, sizeof config, "{\"cmdline\":{%s\"library\":\"%s\"}}", PICK(options), library);
    if (accepted(start_backend(config, &backend)))
        return backend;
    finding("the backend does not start");
    exit(1);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void fuzz(const char *folder, const char *library, uint64_t seed, double seconds, long most)
{
    double until = seconds_now() + seconds;
    TrBackend *backend = NULL;
    long started = 0;
    __sanitizer_set_death_callback(print_seed);
    signal(SIGALRM, too_long);
    read_subjects(folder);
    for (; most ? runs < most : seconds_now() < until; seed++, runs++) {
        int before = findings;
        seed_now = seed;
        if (!backend || seed % RUNS_PER_BACKEND == 0) {
            if (backend)
                stop_backend(backend);
            /* Without a backend no thread of ONNX Runtime lives, whose memory would look lost. */
            if (++started % BACKENDS_PER_LEAK_CHECK == 0 && __lsan_do_recoverable_leak_check())
                finding("memory is lost in one of the last %d runs",
                        BACKENDS_PER_LEAK_CHECK * RUNS_PER_BACKEND);
            backend = backend_of(library, seed);
        }
        random_state = seed * 0x9E3779B97F4A7C15u;
        alarm(LONGEST_RUN_S);
        run_model(&subjects[below(subject_count)]);
        alarm(0);
        if (findings > before)
            printf("... with seed %" PRIu64 "\n", seed);
    }
    if (backend)
        stop_backend(backend);
    for (size_t i = 0; i < subject_count; i++) {
        for (size_t j = 0; j < subjects[i].count; j++) {
            free_value(&subjects[i].parts[j].value);
            free(subjects[i].parts[j].other);
        }
        free(subjects[i].folder);
    }
    printf("%ld runs: %ld models loaded, %ld requests, %ld answered\n", runs, loaded, requested,
           answered);
}
