/* Plays the part of Triton for the native backend, in one program with it, so that sanitizers see
 * both. Every piece of memory that the backend gets has exactly its size and is freed as soon as
 * Triton may free it: an access beyond it or after it is reported. */
#ifndef STAND_IN_H
#define STAND_IN_H

#include <stdatomic.h>

#include "triton_abi.h"

/* Triton's numbers of the types. */
enum { NO_TYPE, FP32_TYPE = 11, BYTES_TYPE = 13, TYPE_NUMBERS = 15 };
int type_number(const char *name); /* NO_TYPE for an unknown name */
const char *type_word(int type);
size_t element_size(int type); /* bytes; 0 for text and unknown types */

enum { MOST_DIMS = 40, MOST_PIECES = 8, MOST_TENSORS = 64 };

typedef struct {
    char *name;
    int type;
    uint32_t rank;
    int64_t dims[MOST_DIMS];
    char *data;
    uint64_t bytes;
} Value;

/* An input of a request, in pieces as a client may send it. */
typedef struct {
    Value value;
    uint64_t said_bytes; /* what Triton says of its size */
    uint32_t piece_count;
    uint64_t pieces[MOST_PIECES]; /* sizes; their sum is `value.bytes` */
    size_t offset;                /* bytes from an address that is aligned to 64 */
    int memory;
} Given;

/* What a client asks for, and what it must get. */
typedef struct {
    Given inputs[MOST_TENSORS];
    uint32_t input_count;
    char *wanted[MOST_TENSORS];
    uint32_t wanted_count;
    long cancelled_after_ms; /* -1: never; 0: before it is executed */
    size_t output_offset;
    int output_memory;
    bool no_memory; /* its outputs get no buffer */
    Value answers[MOST_TENSORS];
    uint32_t answer_count;
    Value states[MOST_TENSORS];
    uint32_t state_count;
    char *error; /* part of the expected error's text; NULL: none is expected */
} Order;

/* What became of it. */
typedef struct {
    const Order *order;
    int responses, sent, released, reports;
    char *error;
    Value answers[MOST_TENSORS];
    uint32_t answer_count;
    Value states[MOST_TENSORS];
    uint32_t state_count;
} Outcome;

struct TRITONBACKEND_Model {
    char *config;
    char *repository;
    uint64_t version;
    bool complete; /* Triton asks the backend to complete the configuration */
    int configs_set;
    void *state;
};

struct TRITONBACKEND_ModelInstance {
    TrModel *model;
    int kind;
    void *state;
};

struct TRITONSERVER_Error {
    int code;
    char *text;
};

/* The functions that a backend has, by the names of tritonbackend.h. */
TrError *TRITONBACKEND_Initialize(TrBackend *backend);
TrError *TRITONBACKEND_Finalize(TrBackend *backend);
TrError *TRITONBACKEND_GetBackendAttribute(TrBackend *backend, TrAttributes *attributes);
TrError *TRITONBACKEND_ModelInitialize(TrModel *model);
TrError *TRITONBACKEND_ModelFinalize(TrModel *model);
TrError *TRITONBACKEND_ModelInstanceInitialize(TrInstance *instance);
TrError *TRITONBACKEND_ModelInstanceFinalize(TrInstance *instance);
TrError *TRITONBACKEND_ModelInstanceExecute(TrInstance *instance, TrRequest **requests,
                                            uint32_t count);

/* A backend whose configuration is this JSON. */
TrBackend *backend_new(const char *config);
void backend_delete(TrBackend *backend);

/* Executes the orders as one batch of requests; `outcomes` must be zeros. Rules that hold for every
 * request are checked here. */
void execute_orders(TrInstance *instance, const Order *const *orders, Outcome *outcomes,
                    uint32_t count);
void free_outcome(Outcome *outcome);
void free_value(Value *value);

/* A rule that the backend broke, to stdout; they are counted. */
void finding(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern atomic_int findings;

/* The log is printed, and verbose lines are asked for. */
extern bool show_log, verbose;

/* Memory, or the end of the process. */
void *must(void *pointer);
char *copy_text(const char *text);

/* The Nth call from now on fails: of a function of Triton's, or for memory of the backend. 0: none.
 */
void fail_call(long number);
bool call_failed(void); /* whether it came to that call */
bool next_fails(void);

#endif
