/* Runs the requests that Triton gives an instance, and answers each. */
#ifndef EXECUTE_H
#define EXECUTE_H

#include "batch.h"

TrError *instance_new(Model *model, TrInstance *handle, Instance **made);
void instance_free(Instance *instance);

/* Answers and releases every request. */
void execute(Instance *instance, TrRequest **requests, uint32_t count);

#endif
