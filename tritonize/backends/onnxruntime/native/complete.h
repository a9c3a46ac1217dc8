/* Completes a configuration from its model, where Triton was started to do so. */
#ifndef COMPLETE_H
#define COMPLETE_H

#include "model.h"

/* Whether the configuration lacks inputs or outputs; otherwise it stays as it is. */
bool needs_completion(const Json *config);

/* Writes max_batch_size, dynamic_batching, inputs and outputs into the model's configuration. */
TrError *complete_config(Model *model, int64_t default_max_batch);

#endif
