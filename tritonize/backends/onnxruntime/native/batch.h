/* The requests that run together, and the instance that runs them. */
#ifndef BATCH_H
#define BATCH_H

#include "model.h"

/* One input of one request, as Triton describes it; its memory is the request's. */
typedef struct {
    TrInput *handle; /* NULL: the request does not have it */
    int type;
    const int64_t *dims;
    uint32_t rank;
    uint64_t bytes;
    uint32_t buffers;
} Source;

/* One request. */
typedef struct {
    TrRequest *request;
    TrResponse *response; /* NULL until there is something to answer */
    Source *sources;      /* by the index of the model's input */
    bool *wanted;         /* by the index of the model's output */
    int64_t rows;         /* size of its batch; 1 in a model without batching */
    TrError *error;       /* becomes its answer */
    bool done;
} Job;

/* Memory that an instance keeps for the next run. */
typedef struct {
    char *data;
    size_t size;
} Room;

/* What became of writing an output where its response is sent from. */
typedef enum { NOT_CONFIRMED, CONFIRMED, NEVER_IN_PLACE } Placement;

/* One output of a run. */
typedef struct {
    Tensor *tensor;
    size_t index; /* among the model's outputs */
    OrtValue *value;
    void *placed;  /* memory of the response, if it is begun before the run */
    bool in_place; /* computed there */
    Shape shape;   /* once it is computed */
    const char *data;
    char *text;     /* of a text output: all elements, one after the other */
    size_t *starts; /* their places in it, and its end */
} Result;

/* An instance runs one batch at a time, on one thread. */
typedef struct Instance {
    Model *model;
    TrInstance *handle;
    OrtSession *session;
    OrtRunOptions *run_options;
    Room *rooms;           /* by input */
    const char **in_names; /* of the inputs of this run */
    OrtValue **in_values;
    size_t in_count;
    Result *results; /* of the outputs of this run */
    const char **out_names;
    OrtValue **out_values;
    size_t out_count;
    Shape *last_shapes;    /* of the inputs of the last run, without the batch */
    Placement *placements; /* by output, for inputs of these shapes */
    struct Batch *running; /* while ONNX Runtime computes; see watch.h */
    struct Instance *next; /* of those that run */
    bool terminated;
} Instance;

typedef struct Batch {
    Instance *instance;
    Job **jobs;
    size_t count;
    int64_t rows;                          /* of all jobs */
    uint64_t started, computing, computed; /* nanoseconds */
} Batch;

/* Of memory that ONNX Runtime computes in. Its own is aligned so, and so many bytes its widest
 * instructions load. With another alignment some kernels add in another order, so that the same
 * request would have other bits over another transport. */
enum { ALIGNMENT = 64 };

/* Reads one request into a job whose lists have been allocated. */
TrError *read_request(const Model *model, Job *job);

/* Whether both requests can be joined into one batch. */
bool can_join(const Model *model, const Job *one, const Job *other);

/* Makes the values of all inputs of the batch. */
TrError *gather_inputs(Batch *batch);

/* Chooses the outputs to compute and, where that is possible, places them in the response. */
TrError *prepare_outputs(Batch *batch);

/* Reads the shapes of what was computed; an error if it cannot be split into the requests. */
TrError *read_results(Batch *batch);

/* Writes one request's outputs into its response, then its states. */
TrError *write_outputs(Batch *batch, size_t job);

/* Frees the values of the run. */
void release_values(Batch *batch);

#endif
