/* Stands between the native backend and ONNX Runtime: writes which options it sets, and passes every call on.
 *
 * REAL is the path of ONNX Runtime's library, NOTES that of the file to append to; SLOTS is a size of the function table that every
 * release has which the backend takes. The places of the functions are those of ort_abi.h. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 253 };

typedef struct {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version_string)(void);
} Base;

static void *table[SLOTS];
static const void *const *real;
static const Base *base;

static void note(const char *format, ...)
{
    FILE *file = fopen(NOTES, "a");
    va_list values;
    if (!file)
        return;
    fprintf(file, "%d ", (int)getpid());
    va_start(values, format);
    vfprintf(file, format, values);
    va_end(values);
    fputc('\n', file);
    fclose(file);
}

#define SWITCH(slot, name)                                                                                                         \
    static void *name(void *options)                                                                                               \
    {                                                                                                                              \
        note(#name);                                                                                                               \
        return ((void *(*)(void *))(uintptr_t)real[slot])(options);                                                                \
    }
#define NUMBER(slot, name)                                                                                                         \
    static void *name(void *options, int number)                                                                                   \
    {                                                                                                                              \
        note(#name " %d", number);                                                                                                 \
        return ((void *(*)(void *, int))(uintptr_t)real[slot])(options, number);                                                   \
    }
#define ENTRY(slot, name)                                                                                                          \
    static void *name(void *options, const char *key, const char *value)                                                           \
    {                                                                                                                              \
        note(#name " %s=%s", key, value);                                                                                          \
        return ((void *(*)(void *, const char *, const char *))(uintptr_t)real[slot])(options, key, value);                        \
    }
#define FUNCTIONS(SWITCH, NUMBER, ENTRY)                                                                                           \
    NUMBER(13, SetSessionExecutionMode)                                                                                            \
    SWITCH(16, EnableMemPattern)                                                                                                   \
    SWITCH(17, DisableMemPattern)                                                                                                  \
    SWITCH(18, EnableCpuMemArena)                                                                                                  \
    SWITCH(19, DisableCpuMemArena)                                                                                                 \
    NUMBER(23, SetSessionGraphOptimizationLevel)                                                                                   \
    NUMBER(24, SetIntraOpNumThreads)                                                                                               \
    NUMBER(25, SetInterOpNumThreads)                                                                                               \
    SWITCH(120, DisablePerSessionThreads)                                                                                          \
    ENTRY(130, AddSessionConfigEntry)                                                                                              \
    ENTRY(165, AddRunConfigEntry)

FUNCTIONS(SWITCH, NUMBER, ENTRY)

static const void *get_api(uint32_t version)
{
    real = base->get_api(version);
    if (!real)
        return NULL;
    memcpy(table, real, sizeof table);
#define PLACE(slot, name) table[slot] = (void *)(uintptr_t)name;
    FUNCTIONS(PLACE, PLACE, PLACE)
    return table;
}

const Base *OrtGetApiBase(void)
{
    static Base recording;
    void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "OrtGetApiBase") : NULL;
    if (!symbol)
        return NULL;
    base = ((const Base *(*)(void))(uintptr_t)symbol)();
    recording.get_api = get_api;
    recording.get_version_string = base->get_version_string;
    return &recording;
}
