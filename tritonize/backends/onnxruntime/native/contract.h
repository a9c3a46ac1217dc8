/* Compares a configuration with its model, by the rules of Triton's own backend. */
#ifndef CONTRACT_H
#define CONTRACT_H

#include "model.h"

/* Fills what the model's tensors have from the configuration. The error is the first disagreement:
 * it names the tensor, what the configuration says and what the model has. */
TrError *compare_with_config(Model *model);

#endif
