/* Random configurations and requests. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>

/* Each run takes the next seed, loads a model of the folder and sends it requests. Ends after so
 * many seconds, or runs where `runs` is not 0. A seed that ends the process is printed. */
void fuzz(const char *folder, const char *library, uint64_t seed, double seconds, long runs);

#endif
