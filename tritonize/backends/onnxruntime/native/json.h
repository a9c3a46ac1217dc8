/* JSON as Triton writes it: read, changed in place, and written again. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_TEXT,
    JSON_LIST,
    JSON_OBJECT
} JsonKind;

typedef struct Json {
    JsonKind kind;
    char *name;         /* in an object */
    char *text;         /* of a text, or a number's digits as they were written */
    struct Json *first; /* of a list or an object */
    struct Json *next;  /* in a list or an object */
} Json;

/* The value, or NULL if the text is no JSON or there is no memory. */
Json *json_parse(const char *text, size_t size);
void json_free(Json *value);

/* Members of an object. All take NULL for an object and give what a missing member gives. */
const Json *json_get(const Json *object, const char *name);
const Json *json_first(const Json *object, const char *name); /* first entry of a list */
size_t json_count(const Json *object, const char *name);      /* entries of a list */
const char *json_text(const Json *object, const char *name);  /* "" if it is missing */
bool json_true(const Json *object, const char *name);
int64_t json_whole(const Json *value); /* 0 for what is no number */

/* New values, and their places. Adding to NULL, or adding NULL, frees what there is and gives NULL.
 */
Json *json_new(JsonKind kind, const char *text);
Json *json_number(int64_t value);
Json *json_set(Json *object, const char *name, Json *value); /* replaces a member of that name */
Json *json_append(Json *list, Json *value);

/* The value as text, to be freed, or NULL if there is no memory. */
char *json_write(const Json *value, size_t *size);

#endif
