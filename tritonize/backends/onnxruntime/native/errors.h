/* Errors of Triton, and its log. */
#ifndef ERRORS_H
#define ERRORS_H

#include "ort_abi.h"
#include "triton_abi.h"

/* Returns the error of `expression` from the enclosing function, if it has one. */
#define TRY(expression)                                                                            \
    do {                                                                                           \
        TrError *error_ = (expression);                                                            \
        if (error_)                                                                                \
            return error_;                                                                         \
    } while (0)

/* A new error with a formatted text. */
TrError *fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The error for memory that could not be allocated. */
TrError *no_memory(const char *purpose);

/* The error of a call of ONNX Runtime, NULL after success. Frees the status. */
TrError *checked(OrtStatus *status);

/* Puts a formatted text in front of the error's own. Returns NULL for NULL. */
TrError *explain(TrError *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Logs and frees an error that nobody else can get. */
void drop(TrError *error);

/* Writes a formatted line to Triton's log. */
void say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Does nothing unless an error would be lost: frees `later` where `first` is the one to return. */
TrError *first_of(TrError *first, TrError *later);

#endif
