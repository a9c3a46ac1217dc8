/* One version of a model: its file, its configuration, and what both say about its tensors. */
#ifndef MODEL_H
#define MODEL_H

#include <pthread.h>

#include "json.h"
#include "tensor.h"

/* What Triton's batcher sends along, computed from an input of the requests (`batch_input`). */
typedef enum {
    COUNT_NONE,
    COUNT_ELEMENTS,
    COUNT_ACCUMULATED,
    COUNT_ACCUMULATED_WITH_ZERO,
    MAX_COUNT_AS_SHAPE,
    ITEM_SHAPE,
    ITEM_SHAPE_FLAT
} BatchKind;

typedef struct {
    char *name;
    int type;
    Shape shape;    /* in the model; -1 is dynamic */
    Shape dims;     /* in the configuration, after `reshape`, without the batch */
    bool in_config; /* listed as `input` or `output` */
    bool ragged;
    bool control;         /* added by the sequence batcher */
    BatchKind batch_kind; /* of an input that is a target of `batch_input` */
    int batch_type;
    const char
        *batch_source; /* of such an input, or of an output that is a target of `batch_output` */
} Tensor;

typedef struct {
    Tensor *items;
    size_t count;
} Tensors;

typedef struct {
    Json *config;
    char *path;
    int64_t max_batch; /* 0: the tensors have no batch axis */
    Tensors inputs;    /* of the session, then the initializers that a request may override */
    size_t required;   /* the number of the former */
    Tensors outputs;
    size_t *states; /* indices of the outputs that are state of a sequence */
    size_t state_count;
    OrtSessionOptions *options;
    pthread_mutex_t lock;
    OrtSession *session; /* loaded and not yet given to an instance, or shared by all */
    bool shared;
} Model;

/* Loads the model and compares it with its configuration. */
TrError *model_load(TrModel *handle, int64_t default_max_batch, Model **made);
void model_free(Model *model);

/* A session for one instance, to be given back with `model_give_back`. */
TrError *model_take_session(Model *model, OrtSession **session);
void model_give_back(Model *model, OrtSession *session);

Tensor *tensor_named(const Tensors *tensors, const char *name);

#endif
