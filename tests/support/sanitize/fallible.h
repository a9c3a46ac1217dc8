/* Put in front of the backend's sources: allocations that can be made to fail. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool next_fails(void);

static inline void *fallible_calloc(size_t count, size_t size)
{
    return next_fails() ? NULL : calloc(count, size);
}

static inline void *fallible_malloc(size_t size)
{
    return next_fails() ? NULL : malloc(size);
}

static inline void *fallible_realloc(void *old, size_t size)
{
    return next_fails() ? NULL : realloc(old, size);
}

static inline void *fallible_aligned_alloc(size_t alignment, size_t size)
{
    return next_fails() ? NULL : aligned_alloc(alignment, size);
}

static inline char *fallible_strdup(const char *text)
{
    return next_fails() ? NULL : strdup(text);
}

static inline char *fallible_strndup(const char *text, size_t size)
{
    return next_fails() ? NULL : strndup(text, size);
}

static inline FILE *fallible_open_memstream(char **text, size_t *size)
{
    return next_fails() ? NULL : open_memstream(text, size);
}

static inline FILE *fallible_fmemopen(void *text, size_t size, const char *mode)
{
    return next_fails() ? NULL : fmemopen(text, size, mode);
}

__attribute__((format(printf, 2, 3))) static inline int fallible_asprintf(char **text,
                                                                          const char *format, ...)
{
    va_list values;
    if (next_fails())
        return -1;
    va_start(values, format);
    int written = vasprintf(text, format, values);
    va_end(values);
    return written;
}

#define calloc fallible_calloc
#define malloc fallible_malloc
#define realloc fallible_realloc
#define aligned_alloc fallible_aligned_alloc
#define strdup fallible_strdup
#define strndup fallible_strndup
#define open_memstream fallible_open_memstream
#define fmemopen fallible_fmemopen
#define asprintf fallible_asprintf
