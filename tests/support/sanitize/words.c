#include "words.h"

#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
    const char digits[] = "0123456789abcdef", *found = c ? strchr(digits, c) : NULL;
    if (!found)
        abort();
    return (int)(found - digits);
}

char *word(char **rest)
{
    char *start = strtok_r(NULL, " ", rest), *to = start;
    for (char *from = start; from && *from; to++) {
        *to = *from++;
        if (*to != '%')
            continue;
        *to = (char)(hex_digit(from[0]) * 16 + hex_digit(from[1]));
        from += 2;
    }
    if (to)
        *to = 0;
    return start;
}

char *needed_word(char **rest)
{
    return must(word(rest));
}

int64_t number(char **rest)
{
    return strtoll(needed_word(rest), NULL, 10);
}

Value read_value(char **rest)
{
    Value value = {.name = copy_text(needed_word(rest))};
    value.type = type_number(needed_word(rest));
    const char *dims = needed_word(rest), *hex;
    for (char *stop; strcmp(dims, "scalar"); dims = stop + 1) {
        if (value.rank == MOST_DIMS)
            abort();
        value.dims[value.rank++] = strtoll(dims, &stop, 10);
        if (!*stop)
            break;
    }
    hex = word(rest);
    value.bytes = hex ? strlen(hex) / 2 : 0;
    value.data = must(malloc(value.bytes + !value.bytes));
    for (uint64_t i = 0; i < value.bytes; i++)
        value.data[i] = (char)(hex_digit(hex[2 * i]) * 16 + hex_digit(hex[2 * i + 1]));
    return value;
}
