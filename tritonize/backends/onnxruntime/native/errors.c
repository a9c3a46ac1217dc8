#include "errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ort.h"

enum { TEXT_SIZE = 4096 };

TrError *fail(int code, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    return TRITONSERVER_ErrorNew(code, text);
}

TrError *no_memory(const char *purpose)
{
    return fail(TR_UNAVAILABLE, "not enough memory for %s", purpose);
}

TrError *checked(OrtStatus *status)
{
    if (!status)
        return NULL;
    TrError *error = TRITONSERVER_ErrorNew(TR_INTERNAL, ort.GetErrorMessage(status));
    ort.ReleaseStatus(status);
    return error;
}

TrError *explain(TrError *error, const char *format, ...)
{
    if (!error)
        return NULL;
    char text[TEXT_SIZE];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    TrError *explained = fail(TR_INVALID_ARG, "%s: %s", text, TRITONSERVER_ErrorMessage(error));
    TRITONSERVER_ErrorDelete(error);
    return explained;
}

void drop(TrError *error)
{
    if (!error)
        return;
    say(TR_LOG_ERROR, "%s", TRITONSERVER_ErrorMessage(error));
    TRITONSERVER_ErrorDelete(error);
}

TrError *first_of(TrError *first, TrError *later)
{
    if (!first)
        return later;
    drop(later);
    return first;
}

void say(int level, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    TrError *error = TRITONSERVER_LogMessage(level, "onnxruntime", 1, text);
    if (error)
        TRITONSERVER_ErrorDelete(error);
}
