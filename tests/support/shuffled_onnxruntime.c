/* ONNX Runtime with two functions of its table in each other's place: FIRST and SECOND; REAL is the path of its library. */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

enum { SLOTS = 253 };

typedef struct {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version_string)(void);
} Base;

static const void *table[SLOTS];
static const Base *real;

static const void *get_api(uint32_t version)
{
    const void *const *found = real->get_api(version);
    memcpy(table, found, sizeof table);
    table[FIRST] = found[SECOND];
    table[SECOND] = found[FIRST];
    return table;
}

const Base *OrtGetApiBase(void)
{
    static Base shuffled;
    real = ((const Base *(*)(void))(uintptr_t)dlsym(dlopen(REAL, RTLD_NOW | RTLD_LOCAL), "OrtGetApiBase"))();
    shuffled.get_api = get_api;
    shuffled.get_version_string = real->get_version_string;
    return &shuffled;
}
