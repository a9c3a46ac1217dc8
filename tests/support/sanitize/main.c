/* sanitized scenario LIBRARY FOLDER [--log]    plays one scenario
 * sanitized failures LIBRARY FOLDER [FIRST [LAST]]   plays it again and again; each time another
 *                                              call of Triton's or for memory fails
 * sanitized fuzz LIBRARY FOLDER SEED SECONDS [COUNT [--log]]   random configurations and requests
 * sanitized probe LIBRARY                      tries the library as before a server's start
 * sanitized broken LIBRARY WAY                 does something that must be found: read, write,
 * leak, overflow or rule
 *
 * Exit code 0: no finding; 1: findings, on stdout; others are a sanitizer's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "scenario.h"

int tritonize_probe(const char *library, char *message, size_t size);

static void play_failures(const char *folder, const char *library, long first, long last)
{
    long played = 0;
    for (long number = first; !last || number <= last; number++, played++) {
        int before = findings;
        fail_call(number);
        play_scenario(folder, library, true);
        bool came = call_failed();
        fail_call(0);
        if (findings > before)
            printf("... where call %ld fails\n", number);
        if (!came)
            break;
    }
    printf("%ld runs\n", played);
}

static void probe(const char *library)
{
    char message[4096];
    if (tritonize_probe(library, message, sizeof message))
        finding("%s", message);
    char *missing = copy_text("/no/such/library.so");
    if (!tritonize_probe(missing, message, sizeof message))
        finding("a library that is not there can be used");
    free(missing);
    printf("2 runs\n");
}

/* What no backend may do, to see that it is found. */
static void do_wrong(const char *way)
{
    volatile int largest = INT32_MAX;
    size_t size = 16;
    char *volatile memory = must(malloc(size));
    memset(memory, 1, size);
    if (!strcmp(way, "read"))
        printf("%d\n", memory[size]);
    else if (!strcmp(way, "write"))
        memory[size] = 1;
    else if (!strcmp(way, "overflow"))
        printf("%d\n", largest + 1);
    else if (!strcmp(way, "rule"))
        finding("a request is released 0 times");
    if (strcmp(way, "leak"))
        free(memory);
    memory = NULL;
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *mode = count > 2 ? arguments[1] : "", *library = count > 2 ? arguments[2] : "";
    verbose = true;
    if (!strcmp(mode, "scenario") && count > 3) {
        show_log = count > 4;
        play_scenario(arguments[3], library, false);
        printf("1 run\n");
    } else if (!strcmp(mode, "failures") && count > 3) {
        play_failures(arguments[3], library, count > 4 ? atol(arguments[4]) : 1,
                      count > 5 ? atol(arguments[5]) : 0);
    } else if (!strcmp(mode, "fuzz") && count > 5) {
        show_log = count > 7;
        fuzz(arguments[3], library, strtoull(arguments[4], NULL, 10), atof(arguments[5]),
             count > 6 ? atol(arguments[6]) : 0);
    } else if (!strcmp(mode, "probe")) {
        probe(library);
    } else if (!strcmp(mode, "broken") && count > 3) {
        do_wrong(arguments[3]);
    } else {
        fprintf(stderr, "usage: see main.c\n");
        return 2;
    }
    return findings ? 1 : 0;
}
