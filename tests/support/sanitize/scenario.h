/* Plays one scenario: a file of lines, as scenarios.py writes them. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "stand_in.h"

/* Plays the scenario of a folder with the ONNX Runtime of that path. What does not go as the
 * scenario says is a finding, unless `rules_alone`. */
void play_scenario(const char *folder, const char *library, bool rules_alone);

/* Starts and ends the backend. The error is the caller's. */
TrError *start_backend(const char *config, TrBackend **made);
void stop_backend(TrBackend *backend);

/* Loads and unloads a model or an instance. After an error there is nothing to unload. */
TrError *load_model(TrModel *model);
void unload_model(TrModel *model);
TrError *load_instance(TrInstance *instance);
void unload_instance(TrInstance *instance);

#endif
