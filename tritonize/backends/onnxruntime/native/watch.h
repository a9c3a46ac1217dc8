/* Ends a run of a model whose requests have all been cancelled. */
#ifndef WATCH_H
#define WATCH_H

#include "batch.h"

/* Around a run. The result says whether the run was ended. */
void watch_begin(Batch *batch);
bool watch_end(Batch *batch);

/* Ends the thread that watches, if one was started. */
void watch_stop(void);

#endif
