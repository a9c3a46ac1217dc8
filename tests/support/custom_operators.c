/* A library of one custom operator, test.shop::Twice: Y = 2 X for floats. Unlike the one of onnxruntime-extensions it needs no Python.
 *
 * With -DIN_SERVER=STATEMENT it executes that in the server's process, and in no other. The declarations are those of ONNX Runtime 1.17, onnxruntime_c_api.h: the places in `struct OrtApi`, and the first members of
 * `struct OrtCustomOp`, which are all that a library of version 8 has. */
#include <stddef.h>
#include <stdint.h>
#ifdef IN_SERVER
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#endif

enum { API = 17, OPERATOR_VERSION = 8, FLOAT = 1, REQUIRED = 0, MAX_RANK = 8 };

typedef struct {
    const void *const *(*get_api)(uint32_t version);
    const char *(*get_version_string)(void);
} Base;

typedef struct Operator {
    uint32_t version;
    void *(*create_kernel)(const struct Operator *, const void *api, const void *info);
    const char *(*name)(const struct Operator *);
    const char *(*provider)(const struct Operator *);
    int (*input_type)(const struct Operator *, size_t);
    size_t (*input_count)(const struct Operator *);
    int (*output_type)(const struct Operator *, size_t);
    size_t (*output_count)(const struct Operator *);
    void (*compute)(void *kernel, void *context);
    void (*destroy_kernel)(void *kernel);
    int (*input_characteristic)(const struct Operator *, size_t);
    int (*output_characteristic)(const struct Operator *, size_t);
} Operator;

static const void *const *api;

#define CALL(slot, ...) ((void *(*)(__VA_ARGS__))(uintptr_t)api[slot])

static void *create_kernel(const Operator *self, const void *unused, const void *info)
{
    (void)unused, (void)info;
    return (void *)(uintptr_t)self;
}

static const char *name(const Operator *self) { (void)self; return "Twice"; }
static const char *provider(const Operator *self) { (void)self; return NULL; }
static int type(const Operator *self, size_t index) { (void)self, (void)index; return FLOAT; }
static size_t count(const Operator *self) { (void)self; return 1; }
static int characteristic(const Operator *self, size_t index) { (void)self, (void)index; return REQUIRED; }
static void destroy_kernel(void *kernel) { (void)kernel; }

static void compute(void *kernel, void *context)
{
    const void *input;
    void *output, *info, *data;
    float *to;
    size_t rank, elements;
    int64_t shape[MAX_RANK];
    (void)kernel;
#ifdef IN_SERVER
    char command[4096] = "";
    FILE *file = fopen("/proc/self/cmdline", "r");
    if (file && fgets(command, sizeof command, file) && strstr(command, "/bin/tritonserver"))
        IN_SERVER;
    if (file)
        fclose(file);
#endif
    CALL(90, const void *, size_t, const void **)(context, 0, &input); /* KernelContext_GetInput */
    CALL(65, const void *, void **)(input, &info);                     /* GetTensorTypeAndShape */
    CALL(61, const void *, size_t *)(info, &rank);                     /* GetDimensionsCount */
    CALL(62, const void *, int64_t *, size_t)(info, shape, rank);      /* GetDimensions */
    CALL(64, const void *, size_t *)(info, &elements);                 /* GetTensorShapeElementCount */
    CALL(91, void *, size_t, const int64_t *, size_t, void **)(context, 0, shape, rank, &output); /* KernelContext_GetOutput */
    CALL(51, const void *, void **)(input, &data);                     /* GetTensorMutableData */
    CALL(51, const void *, void **)(output, (void **)&to);
    ((void (*)(void *))(uintptr_t)api[99])(info);                      /* ReleaseTensorTypeAndShapeInfo */
    for (size_t i = 0; i < elements; i++)
        to[i] = 2 * ((const float *)data)[i];
}

static const Operator twice = {
    OPERATOR_VERSION, create_kernel, name, provider, type, count, type, count, compute, destroy_kernel, characteristic, characteristic,
};

void *RegisterCustomOps(void *options, const Base *base)
{
    void *domain;
    void *status;
    api = base->get_api(API);
    status = CALL(26, const char *, void **)("test.shop", &domain); /* CreateCustomOpDomain */
    if (!status)
        status = CALL(27, void *, const Operator *)(domain, &twice); /* CustomOpDomain_Add */
    return status ? status : CALL(28, void *, void *)(options, domain); /* AddCustomOpDomain */
}
