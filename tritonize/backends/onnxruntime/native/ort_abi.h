/* The functions of ONNX Runtime that this backend calls, by their places in the function table that
 * `OrtGetApiBase()->GetApi(version)` returns. No header of ONNX Runtime is needed to build it.
 *
 * Source: microsoft/onnxruntime, include/onnxruntime/core/session/onnxruntime_c_api.h, `struct
 * OrtApi`, release 1.17. The table only grows: the headers of releases 1.15 to 1.26, 1.28 and 1.29
 * have these functions in the same slots. `tritonize_probe` calls each in the library that is to be
 * used. */
#ifndef ORT_ABI_H
#define ORT_ABI_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_API_VERSION = 17 };

typedef struct {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version_string)(void);
} OrtBase;

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtThreadingOptions OrtThreadingOptions;
typedef struct OrtValue OrtValue;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorInfo OrtTensorInfo;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtAllocator OrtAllocator;

enum { ORT_LOG_VERBOSE, ORT_LOG_INFO, ORT_LOG_WARNING, ORT_LOG_ERROR, ORT_LOG_FATAL };
enum { ORT_OPTIMIZE_NOTHING, ORT_OPTIMIZE_BASIC, ORT_OPTIMIZE_EXTENDED, ORT_OPTIMIZE_ALL = 99 };
enum { ORT_SEQUENTIAL, ORT_PARALLEL };
enum { ORT_DEVICE_ALLOCATOR = 0, ORT_MEMORY_DEFAULT = 0 };
enum { ONNX_TENSOR = 1 }; /* of ONNXType */

/* ONNXTensorElementDataType, as far as Triton has the type too. */
enum {
    ONNX_FLOAT = 1,
    ONNX_UINT8,
    ONNX_INT8,
    ONNX_UINT16,
    ONNX_INT16,
    ONNX_INT32,
    ONNX_INT64,
    ONNX_STRING,
    ONNX_BOOL,
    ONNX_FLOAT16,
    ONNX_DOUBLE,
    ONNX_UINT32,
    ONNX_UINT64,
    ONNX_BFLOAT16 = 16
};

typedef void (*OrtLoggingFunction)(void *context, int severity, const char *category,
                                   const char *id, const char *place, const char *text);

/* X(slot, result, name, parameters), in the order of the table. */
/* clang-format off */
#define ORT_FUNCTIONS(X) \
    /* API 1: errors, environment, session */ \
    X(2, const char *, GetErrorMessage, (const OrtStatus *status)) \
    X(4, OrtStatus *, CreateEnvWithCustomLogger, (OrtLoggingFunction log, void *context, int level, \
        const char *id, OrtEnv **made)) \
    X(7, OrtStatus *, CreateSession, (const OrtEnv *env, const char *path, \
        const OrtSessionOptions *options, OrtSession **made)) \
    X(9, OrtStatus *, Run, (OrtSession *session, const OrtRunOptions *options, \
        const char *const *input_names, const OrtValue *const *inputs, size_t input_count, \
        const char *const *output_names, size_t output_count, OrtValue **outputs)) \
    /* API 1: session options */ \
    X(10, OrtStatus *, CreateSessionOptions, (OrtSessionOptions **made)) \
    X(13, OrtStatus *, SetSessionExecutionMode, (OrtSessionOptions *options, int mode)) \
    X(16, OrtStatus *, EnableMemPattern, (OrtSessionOptions *options)) \
    X(17, OrtStatus *, DisableMemPattern, (OrtSessionOptions *options)) \
    X(18, OrtStatus *, EnableCpuMemArena, (OrtSessionOptions *options)) \
    X(19, OrtStatus *, DisableCpuMemArena, (OrtSessionOptions *options)) \
    X(23, OrtStatus *, SetSessionGraphOptimizationLevel, (OrtSessionOptions *options, int level)) \
    X(24, OrtStatus *, SetIntraOpNumThreads, (OrtSessionOptions *options, int count)) \
    X(25, OrtStatus *, SetInterOpNumThreads, (OrtSessionOptions *options, int count)) \
    /* API 1: inputs, outputs and overridable initializers of a session */ \
    X(30, OrtStatus *, SessionGetInputCount, (const OrtSession *session, size_t *count)) \
    X(31, OrtStatus *, SessionGetOutputCount, (const OrtSession *session, size_t *count)) \
    X(32, OrtStatus *, SessionGetOverridableInitializerCount, (const OrtSession *session, size_t *count)) \
    X(33, OrtStatus *, SessionGetInputTypeInfo, (const OrtSession *session, size_t index, OrtTypeInfo **made)) \
    X(34, OrtStatus *, SessionGetOutputTypeInfo, (const OrtSession *session, size_t index, OrtTypeInfo **made)) \
    X(35, OrtStatus *, SessionGetOverridableInitializerTypeInfo, (const OrtSession *session, size_t index, \
        OrtTypeInfo **made)) \
    X(36, OrtStatus *, SessionGetInputName, (const OrtSession *session, size_t index, \
        OrtAllocator *allocator, char **made)) \
    X(37, OrtStatus *, SessionGetOutputName, (const OrtSession *session, size_t index, \
        OrtAllocator *allocator, char **made)) \
    X(38, OrtStatus *, SessionGetOverridableInitializerName, (const OrtSession *session, size_t index, \
        OrtAllocator *allocator, char **made)) \
    /* API 1: run options */ \
    X(39, OrtStatus *, CreateRunOptions, (OrtRunOptions **made)) \
    X(46, OrtStatus *, RunOptionsSetTerminate, (OrtRunOptions *options)) \
    X(47, OrtStatus *, RunOptionsUnsetTerminate, (OrtRunOptions *options)) \
    /* API 1: tensors, their types and shapes */ \
    X(48, OrtStatus *, CreateTensorAsOrtValue, (OrtAllocator *allocator, const int64_t *shape, size_t rank, \
        int type, OrtValue **made)) \
    X(49, OrtStatus *, CreateTensorWithDataAsOrtValue, (const OrtMemoryInfo *memory, void *data, size_t bytes, \
        const int64_t *shape, size_t rank, int type, OrtValue **made)) \
    X(51, OrtStatus *, GetTensorMutableData, (OrtValue *value, void **data)) \
    X(53, OrtStatus *, GetStringTensorDataLength, (const OrtValue *value, size_t *bytes)) \
    X(54, OrtStatus *, GetStringTensorContent, (const OrtValue *value, void *text, size_t bytes, \
        size_t *starts, size_t count)) \
    X(55, OrtStatus *, CastTypeInfoToTensorInfo, (const OrtTypeInfo *info, const OrtTensorInfo **found)) \
    X(56, OrtStatus *, GetOnnxTypeFromTypeInfo, (const OrtTypeInfo *info, int *type)) \
    X(60, OrtStatus *, GetTensorElementType, (const OrtTensorInfo *info, int *type)) \
    X(61, OrtStatus *, GetDimensionsCount, (const OrtTensorInfo *info, size_t *rank)) \
    X(62, OrtStatus *, GetDimensions, (const OrtTensorInfo *info, int64_t *shape, size_t rank)) \
    X(65, OrtStatus *, GetTensorTypeAndShape, (const OrtValue *value, OrtTensorInfo **made)) \
    X(69, OrtStatus *, CreateCpuMemoryInfo, (int allocator, int memory, OrtMemoryInfo **made)) \
    X(76, OrtStatus *, AllocatorFree, (OrtAllocator *allocator, void *data)) \
    X(78, OrtStatus *, GetAllocatorWithDefaultOptions, (OrtAllocator **found)) \
    /* API 1: releases */ \
    X(92, void, ReleaseEnv, (OrtEnv *env)) \
    X(93, void, ReleaseStatus, (OrtStatus *status)) \
    X(94, void, ReleaseMemoryInfo, (OrtMemoryInfo *memory)) \
    X(95, void, ReleaseSession, (OrtSession *session)) \
    X(96, void, ReleaseValue, (OrtValue *value)) \
    X(97, void, ReleaseRunOptions, (OrtRunOptions *options)) \
    X(98, void, ReleaseTypeInfo, (OrtTypeInfo *info)) \
    X(99, void, ReleaseTensorTypeAndShapeInfo, (OrtTensorInfo *info)) \
    X(100, void, ReleaseSessionOptions, (OrtSessionOptions *options)) \
    /* API 3: thread pools that sessions share */ \
    X(120, OrtStatus *, DisablePerSessionThreads, (OrtSessionOptions *options)) \
    X(121, OrtStatus *, CreateThreadingOptions, (OrtThreadingOptions **made)) \
    X(122, void, ReleaseThreadingOptions, (OrtThreadingOptions *options)) \
    /* API 5 */ \
    X(130, OrtStatus *, AddSessionConfigEntry, (OrtSessionOptions *options, const char *key, const char *value)) \
    X(147, OrtStatus *, SetGlobalIntraOpNumThreads, (OrtThreadingOptions *options, int count)) \
    X(148, OrtStatus *, SetGlobalInterOpNumThreads, (OrtThreadingOptions *options, int count)) \
    /* API 6 */ \
    X(151, OrtStatus *, CreateEnvWithCustomLoggerAndGlobalThreadPools, (OrtLoggingFunction log, void *context, \
        int level, const char *id, const OrtThreadingOptions *threads, OrtEnv **made)) \
    /* API 8 */ \
    X(165, OrtStatus *, AddRunConfigEntry, (OrtRunOptions *options, const char *key, const char *value)) \
    /* API 14 and 15 */ \
    X(228, OrtStatus *, RegisterCustomOpsLibrary_V2, (OrtSessionOptions *options, const char *path)) \
    X(252, OrtStatus *, GetResizedStringTensorElementBuffer, (OrtValue *value, size_t index, size_t bytes, \
        char **text))
/* clang-format on */

typedef struct {
#define ORT_MEMBER(slot, result, name, parameters) result(*name) parameters;
    ORT_FUNCTIONS(ORT_MEMBER)
#undef ORT_MEMBER
} OrtFunctions;

#endif
