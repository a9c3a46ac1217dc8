#define _GNU_SOURCE
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

typedef struct {
    const char *at, *end;
    int depth;
} Cursor;

static Json *read_value(Cursor *c);

static void skip_space(Cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r' || *c->at == '\n'))
        c->at++;
}

static bool take(Cursor *c, char wanted)
{
    skip_space(c);
    if (c->at >= c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | (code >> 6));
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | (code >> 12));
        *to++ = (char)(0x80 | ((code >> 6) & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xF0 | (code >> 18));
        *to++ = (char)(0x80 | ((code >> 12) & 63));
        *to++ = (char)(0x80 | ((code >> 6) & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

static bool read_hex(Cursor *c, uint32_t *code)
{
    char digits[5] = {0};
    char *stop;
    if (c->end - c->at < 4)
        return false;
    memcpy(digits, c->at, 4);
    c->at += 4;
    *code = (uint32_t)strtoul(digits, &stop, 16);
    return stop == digits + 4;
}

/* The character after a backslash; the result is where the next one goes, NULL for an error. */
static char *read_escape(Cursor *c, char *to)
{
    static const char escapes[] = "bfnrt\"\\/", meanings[] = "\b\f\n\r\t\"\\/";
    if (c->at >= c->end)
        return NULL;
    char escape = *c->at++;
    const char *known = escape ? strchr(escapes, escape) : NULL;
    if (known) {
        *to++ = meanings[known - escapes];
        return to;
    }
    uint32_t code, low;
    if (escape != 'u' || !read_hex(c, &code))
        return NULL;
    if (code >= 0xD800 && code < 0xDC00 && c->end - c->at > 1 && c->at[0] == '\\' &&
        c->at[1] == 'u') {
        c->at += 2;
        if (!read_hex(c, &low))
            return NULL;
        code = 0x10000 + ((code - 0xD800) << 10) + ((low - 0xDC00) & 0x3FF);
    }
    return put_utf8(to, code);
}

static char *read_text(Cursor *c)
{
    if (!take(c, '"'))
        return NULL;
    const char *stop = c->at;
    while (stop < c->end && *stop != '"')
        stop += *stop == '\\' ? 2 : 1;
    char *text = stop < c->end ? malloc((size_t)(stop - c->at) + 1) : NULL, *to = text;
    while (to && *c->at != '"') {
        if (*c->at != '\\') {
            *to++ = *c->at++;
            continue;
        }
        c->at++;
        to = read_escape(c, to);
    }
    if (!to) {
        free(text);
        return NULL;
    }
    c->at++;
    *to = 0;
    return text;
}

static bool read_members(Cursor *c, Json *into)
{
    char close = into->kind == JSON_OBJECT ? '}' : ']';
    Json **tail = &into->first;
    c->at++;
    if (take(c, close))
        return true;
    do {
        char *name = NULL;
        if (into->kind == JSON_OBJECT && (!(name = read_text(c)) || !take(c, ':'))) {
            free(name);
            return false;
        }
        *tail = read_value(c);
        if (!*tail) {
            free(name);
            return false;
        }
        (*tail)->name = name;
        tail = &(*tail)->next;
    } while (take(c, ','));
    return take(c, close);
}

static bool read_word(Cursor *c, Json *into)
{
    static const struct {
        const char *word;
        JsonKind kind;
    } words[] = {{"true", JSON_TRUE}, {"false", JSON_FALSE}, {"null", JSON_NULL}};
    size_t left = (size_t)(c->end - c->at), length = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = strlen(words[i].word);
        if (left >= size && !memcmp(c->at, words[i].word, size)) {
            c->at += size;
            into->kind = words[i].kind;
            return true;
        }
    }
    while (length < left && c->at[length] && strchr("+-.0123456789eE", c->at[length]))
        length++;
    into->kind = JSON_NUMBER;
    into->text = length ? strndup(c->at, length) : NULL;
    c->at += length;
    return into->text != NULL;
}

static Json *read_value(Cursor *c)
{
    skip_space(c);
    if (c->at >= c->end || c->depth >= MAX_DEPTH)
        return NULL;
    Json *value = calloc(1, sizeof *value);
    if (!value)
        return NULL;
    bool good;
    c->depth++;
    if (*c->at == '{' || *c->at == '[') {
        value->kind = *c->at == '{' ? JSON_OBJECT : JSON_LIST;
        good = read_members(c, value);
    } else if (*c->at == '"') {
        value->kind = JSON_TEXT;
        value->text = read_text(c);
        good = value->text != NULL;
    } else {
        good = read_word(c, value);
    }
    c->depth--;
    if (good)
        return value;
    json_free(value);
    return NULL;
}

Json *json_parse(const char *text, size_t size)
{
    Cursor c = {text, text + size, 0};
    while (size && !text[size - 1])
        c.end = text + --size;
    Json *value = read_value(&c);
    skip_space(&c);
    if (c.at == c.end)
        return value;
    json_free(value);
    return NULL;
}

void json_free(Json *value)
{
    while (value) {
        Json *next = value->next;
        json_free(value->first);
        free(value->name);
        free(value->text);
        free(value);
        value = next;
    }
}

const Json *json_get(const Json *object, const char *name)
{
    for (const Json *each = object ? object->first : NULL; each; each = each->next)
        if (each->name && !strcmp(each->name, name))
            return each;
    return NULL;
}

const Json *json_first(const Json *object, const char *name)
{
    const Json *list = json_get(object, name);
    return list ? list->first : NULL;
}

size_t json_count(const Json *object, const char *name)
{
    size_t count = 0;
    for (const Json *each = json_first(object, name); each; each = each->next)
        count++;
    return count;
}

const char *json_text(const Json *object, const char *name)
{
    const Json *found = json_get(object, name);
    return found && found->kind == JSON_TEXT ? found->text : "";
}

bool json_true(const Json *object, const char *name)
{
    const Json *found = json_get(object, name);
    return found && found->kind == JSON_TRUE;
}

int64_t json_whole(const Json *value)
{
    /* Protobuf writes 64-bit numbers as text. */
    return value && value->text ? strtoll(value->text, NULL, 10) : 0;
}

Json *json_new(JsonKind kind, const char *text)
{
    Json *value = calloc(1, sizeof *value);
    if (!value)
        return NULL;
    value->kind = kind;
    value->text = text ? strdup(text) : NULL;
    if (!text || value->text)
        return value;
    json_free(value);
    return NULL;
}

Json *json_number(int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    return json_new(JSON_NUMBER, digits);
}

static Json *add(Json *into, const char *name, Json *value)
{
    char *copy = value && name ? strdup(name) : NULL;
    if (!into || !value || (name && !copy)) {
        json_free(into);
        json_free(value);
        free(copy);
        return NULL;
    }
    Json **place = &into->first;
    while (*place && !(name && !strcmp((*place)->name, name)))
        place = &(*place)->next;
    if (*place) {
        value->next = (*place)->next;
        (*place)->next = NULL;
        json_free(*place);
    }
    *place = value;
    value->name = copy;
    return into;
}

Json *json_set(Json *object, const char *name, Json *value)
{
    return add(object, name, value);
}

Json *json_append(Json *list, Json *value)
{
    return add(list, NULL, value);
}

static void write_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    fputc('"', out);
}

static void write_value(FILE *out, const Json *value)
{
    static const char *const words[] = {"null", "false", "true"};
    if (value->kind == JSON_TEXT) {
        write_text(out, value->text);
    } else if (value->kind == JSON_NUMBER) {
        fputs(value->text, out);
    } else if (value->kind < JSON_NUMBER) {
        fputs(words[value->kind], out);
    } else {
        fputc(value->kind == JSON_OBJECT ? '{' : '[', out);
        for (const Json *each = value->first; each; each = each->next) {
            if (value->kind == JSON_OBJECT) {
                write_text(out, each->name);
                fputc(':', out);
            }
            write_value(out, each);
            if (each->next)
                fputc(',', out);
        }
        fputc(value->kind == JSON_OBJECT ? '}' : ']', out);
    }
}

char *json_write(const Json *value, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    if (!out)
        return NULL;
    write_value(out, value);
    if (!fclose(out))
        return text;
    free(text);
    return NULL;
}
