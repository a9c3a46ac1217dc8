#include "tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int onnx;
    size_t size;
} types[TYPE_COUNT] = {
    {"a type that Triton does not have", 0, 0},
    {"TYPE_BOOL", ONNX_BOOL, 1},
    {"TYPE_UINT8", ONNX_UINT8, 1},
    {"TYPE_UINT16", ONNX_UINT16, 2},
    {"TYPE_UINT32", ONNX_UINT32, 4},
    {"TYPE_UINT64", ONNX_UINT64, 8},
    {"TYPE_INT8", ONNX_INT8, 1},
    {"TYPE_INT16", ONNX_INT16, 2},
    {"TYPE_INT32", ONNX_INT32, 4},
    {"TYPE_INT64", ONNX_INT64, 8},
    {"TYPE_FP16", ONNX_FLOAT16, 2},
    {"TYPE_FP32", ONNX_FLOAT, 4},
    {"TYPE_FP64", ONNX_DOUBLE, 8},
    {"TYPE_STRING", ONNX_STRING, 0},
    {"TYPE_BF16", ONNX_BFLOAT16, 2},
};

int type_named(const char *name)
{
    for (int type = 1; type < TYPE_COUNT; type++)
        if (!strcmp(types[type].name, name))
            return type;
    return TYPE_NONE;
}

int type_of_onnx(int onnx)
{
    for (int type = 1; type < TYPE_COUNT; type++)
        if (types[type].onnx == onnx)
            return type;
    return TYPE_NONE;
}

const char *type_name(int type)
{
    return types[type > 0 && type < TYPE_COUNT ? type : 0].name;
}

int type_onnx(int type)
{
    return types[type].onnx;
}

size_t type_size(int type)
{
    return types[type].size;
}

bool count_elements(const int64_t *dims, size_t rank, uint64_t *count)
{
    *count = 1;
    for (size_t i = 0; i < rank; i++)
        if (dims[i] < 0 || __builtin_mul_overflow(*count, (uint64_t)dims[i], count) ||
            *count > INT64_MAX / 8)
            return false;
    return true;
}

const char *shape_text(const int64_t *dims, size_t rank, char *buffer)
{
    int at = snprintf(buffer, SHAPE_TEXT, "[");
    for (size_t i = 0; i < rank && at < SHAPE_TEXT - 32; i++)
        at += snprintf(buffer + at, SHAPE_TEXT - (size_t)at, "%s%" PRId64, i ? ", " : "", dims[i]);
    snprintf(buffer + at, SHAPE_TEXT - (size_t)at, "]");
    return buffer;
}

TrError *describe_value(const OrtValue *value, const char *name, int *type, Shape *shape)
{
    OrtTensorInfo *info;
    int onnx = 0;
    TRY(checked(ort.GetTensorTypeAndShape(value, &info)));
    TrError *error = checked(ort.GetTensorElementType(info, &onnx));
    if (!error)
        error = ort_shape(info, name, shape);
    ort.ReleaseTensorTypeAndShapeInfo(info);
    *type = type_of_onnx(onnx);
    return error;
}
