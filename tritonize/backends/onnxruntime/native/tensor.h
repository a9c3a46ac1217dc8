/* Element types and shapes. */
#ifndef TENSOR_H
#define TENSOR_H

#include "errors.h"
#include "ort.h"

/* Triton's numbers of the types (tritonserver.h, r24.10), which index the table of this file. */
enum { TYPE_NONE = 0, TYPE_INT32 = 8, TYPE_FP32 = 11, TYPE_TEXT = 13, TYPE_COUNT = 15 };

/* By a type's name in a configuration, such as TYPE_FP32; TYPE_NONE for others. */
int type_named(const char *name);
int type_of_onnx(int onnx);
const char *type_name(int type);
int type_onnx(int type);
size_t type_size(int type); /* bytes of one element; 0 for text */

/* The number of elements; false if a dim is negative or the number does not fit. */
bool count_elements(const int64_t *dims, size_t rank, uint64_t *count);

/* The shape as text: [2, -1]. The text belongs to `buffer`. */
enum { SHAPE_TEXT = 512 };
const char *shape_text(const int64_t *dims, size_t rank, char *buffer);

/* The type and shape of a value that a run returned. */
TrError *describe_value(const OrtValue *value, const char *name, int *type, Shape *shape);

#endif
