/* The functions of Triton that this backend calls, declared here because no header of Triton is
 * needed to build it. They resolve from the process that loads the backend, never by linking:
 * the file name of libtritonserver differs from build to build.
 *
 * Sources: triton-inference-server/core, include/triton/core/tritonserver.h and tritonbackend.h,
 * release r24.10 (backend API 1.19). */
#ifndef TRITON_ABI_H
#define TRITON_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* tritonserver.h: opaque types and enumerations, r24.10. */
typedef struct TRITONSERVER_Error TrError;
typedef struct TRITONSERVER_Message TrMessage;

enum {
    TR_UNKNOWN,
    TR_INTERNAL,
    TR_NOT_FOUND,
    TR_INVALID_ARG,
    TR_UNAVAILABLE,
    TR_UNSUPPORTED,
    TR_ALREADY_EXISTS,
    TR_CANCELLED
};
enum { TR_LOG_INFO, TR_LOG_WARN, TR_LOG_ERROR, TR_LOG_VERBOSE };
enum { TR_MEMORY_CPU, TR_MEMORY_CPU_PINNED, TR_MEMORY_GPU };
enum { TR_KIND_AUTO, TR_KIND_CPU, TR_KIND_GPU, TR_KIND_MODEL };
enum { TR_RESPONSE_FINAL = 1, TR_REQUEST_RELEASE_ALL = 1 };

/* tritonbackend.h: opaque types, r24.10. */
typedef struct TRITONBACKEND_Backend TrBackend;
typedef struct TRITONBACKEND_BackendAttribute TrAttributes;
typedef struct TRITONBACKEND_Model TrModel;
typedef struct TRITONBACKEND_ModelInstance TrInstance;
typedef struct TRITONBACKEND_Request TrRequest;
typedef struct TRITONBACKEND_Input TrInput;
typedef struct TRITONBACKEND_Response TrResponse;
typedef struct TRITONBACKEND_Output TrOutput;
typedef struct TRITONBACKEND_State TrState;

enum { TR_ARTIFACT_FILESYSTEM };
enum { TR_API_MAJOR = 1, TR_API_MINOR = 19 };

/* X(result, name, parameters), in the order of the headers. */
/* clang-format off */
#define TRITON_FUNCTIONS(X) \
    /* tritonserver.h, r24.10 */ \
    X(bool, TRITONSERVER_LogIsEnabled, (int level)) \
    X(TrError *, TRITONSERVER_LogMessage, (int level, const char *file, int line, const char *text)) \
    X(TrError *, TRITONSERVER_ErrorNew, (int code, const char *text)) \
    X(void, TRITONSERVER_ErrorDelete, (TrError *error)) \
    X(const char *, TRITONSERVER_ErrorMessage, (TrError *error)) \
    X(TrError *, TRITONSERVER_MessageNewFromSerializedJson, (TrMessage **message, const char *base, size_t size)) \
    X(TrError *, TRITONSERVER_MessageDelete, (TrMessage *message)) \
    X(TrError *, TRITONSERVER_MessageSerializeToJson, (TrMessage *message, const char **base, size_t *size)) \
    /* tritonbackend.h, r24.10: requests and responses */ \
    X(TrError *, TRITONBACKEND_ApiVersion, (uint32_t *major, uint32_t *minor)) \
    X(TrError *, TRITONBACKEND_InputProperties, (TrInput *input, const char **name, int *type, \
        const int64_t **shape, uint32_t *rank, uint64_t *bytes, uint32_t *buffers)) \
    X(TrError *, TRITONBACKEND_InputBuffer, (TrInput *input, uint32_t index, const void **buffer, \
        uint64_t *bytes, int *memory, int64_t *memory_id)) \
    X(TrError *, TRITONBACKEND_OutputBuffer, (TrOutput *output, void **buffer, uint64_t bytes, \
        int *memory, int64_t *memory_id)) \
    X(TrError *, TRITONBACKEND_RequestInputCount, (TrRequest *request, uint32_t *count)) \
    X(TrError *, TRITONBACKEND_RequestInputByIndex, (TrRequest *request, uint32_t index, TrInput **input)) \
    X(TrError *, TRITONBACKEND_RequestOutputCount, (TrRequest *request, uint32_t *count)) \
    X(TrError *, TRITONBACKEND_RequestOutputName, (TrRequest *request, uint32_t index, const char **name)) \
    X(TrError *, TRITONBACKEND_RequestRelease, (TrRequest *request, uint32_t flags)) \
    X(TrError *, TRITONBACKEND_ResponseNew, (TrResponse **response, TrRequest *request)) \
    X(TrError *, TRITONBACKEND_ResponseDelete, (TrResponse *response)) \
    X(TrError *, TRITONBACKEND_ResponseOutput, (TrResponse *response, TrOutput **output, const char *name, \
        int type, const int64_t *shape, uint32_t rank)) \
    X(TrError *, TRITONBACKEND_ResponseSend, (TrResponse *response, uint32_t flags, TrError *error)) \
    X(TrError *, TRITONBACKEND_StateNew, (TrState **state, TrRequest *request, const char *name, int type, \
        const int64_t *shape, uint32_t rank)) \
    X(TrError *, TRITONBACKEND_StateUpdate, (TrState *state)) \
    X(TrError *, TRITONBACKEND_StateBuffer, (TrState *state, void **buffer, uint64_t bytes, int *memory, \
        int64_t *memory_id)) \
    /* tritonbackend.h, r24.10: backend, model and instance */ \
    X(TrError *, TRITONBACKEND_BackendConfig, (TrBackend *backend, TrMessage **config)) \
    X(TrError *, TRITONBACKEND_ModelVersion, (TrModel *model, uint64_t *version)) \
    X(TrError *, TRITONBACKEND_ModelRepository, (TrModel *model, int *kind, const char **location)) \
    X(TrError *, TRITONBACKEND_ModelConfig, (TrModel *model, uint32_t version, TrMessage **config)) \
    X(TrError *, TRITONBACKEND_ModelAutoCompleteConfig, (TrModel *model, bool *wanted)) \
    X(TrError *, TRITONBACKEND_ModelSetConfig, (TrModel *model, uint32_t version, TrMessage *config)) \
    X(TrError *, TRITONBACKEND_ModelState, (TrModel *model, void **state)) \
    X(TrError *, TRITONBACKEND_ModelSetState, (TrModel *model, void *state)) \
    X(TrError *, TRITONBACKEND_ModelInstanceKind, (TrInstance *instance, int *kind)) \
    X(TrError *, TRITONBACKEND_ModelInstanceModel, (TrInstance *instance, TrModel **model)) \
    X(TrError *, TRITONBACKEND_ModelInstanceState, (TrInstance *instance, void **state)) \
    X(TrError *, TRITONBACKEND_ModelInstanceSetState, (TrInstance *instance, void *state)) \
    X(TrError *, TRITONBACKEND_ModelInstanceReportStatistics, (TrInstance *instance, TrRequest *request, \
        bool success, uint64_t start_ns, uint64_t compute_start_ns, uint64_t compute_end_ns, uint64_t end_ns)) \
    X(TrError *, TRITONBACKEND_ModelInstanceReportBatchStatistics, (TrInstance *instance, uint64_t rows, \
        uint64_t start_ns, uint64_t compute_start_ns, uint64_t compute_end_ns, uint64_t end_ns)) \
    X(TrError *, TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading, (TrAttributes *attributes, \
        bool enabled))

/* Functions that an older server may not have; the backend asks whether they are there. */
#define TRITON_OPTIONAL_FUNCTIONS(X) \
    X(TrError *, TRITONBACKEND_RequestIsCancelled, (TrRequest *request, bool *cancelled)) /* since r23.10 */
/* clang-format on */

/* Weak, so that the library also loads where there is no Triton: `tritonize_probe` runs there. */
#define TRITON_DECLARE(result, name, parameters)                                                   \
    extern __attribute__((weak)) result name parameters;
TRITON_FUNCTIONS(TRITON_DECLARE)
TRITON_OPTIONAL_FUNCTIONS(TRITON_DECLARE)

#endif
