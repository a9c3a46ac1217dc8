/* The ONNX Runtime library that the server was started with. */
#ifndef ORT_H
#define ORT_H

#include "errors.h"
#include "ort_abi.h"

/* The library's functions; set by `ort_open`. */
extern OrtFunctions ort;

/* What all models share; set by `ort_start`. */
extern OrtEnv *ort_env;
extern OrtMemoryInfo *ort_cpu;
extern OrtAllocator *ort_allocator; /* the library's own, never freed */
extern bool ort_global_threads;

/* Loads the library and fills `ort`. Returns its version, or NULL with a sentence in `message`. */
const char *ort_open(const char *path, char *message, size_t size);

typedef struct {
    bool global_threads; /* one thread pool for all models */
    int intra_threads;   /* of that pool; 0 leaves the choice to ONNX Runtime */
    int inter_threads;
} OrtSettings;

/* Creates the environment, whose log lines go to Triton's log. */
TrError *ort_start(const OrtSettings *settings);

void ort_stop(void);

/* Copies the rank and the dims of a tensor. `what` names it in errors. */
enum { MAX_RANK = 32 };
typedef struct {
    size_t rank;
    int64_t dims[MAX_RANK];
} Shape;
TrError *ort_shape(const OrtTensorInfo *info, const char *what, Shape *shape);

#endif
