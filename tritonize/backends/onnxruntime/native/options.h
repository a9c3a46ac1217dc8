/* Options of ONNX Runtime from a model's configuration, under the names of Triton's own backend. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "errors.h"
#include "json.h"
#include "ort.h"

/* For the session, from `parameters`, `optimization` and `model_operations`. */
TrError *make_session_options(const Json *config, OrtSessionOptions **made);

/* For every run. */
TrError *make_run_options(const Json *config, OrtRunOptions **made);

/* A parameter of the configuration; `value` is left alone where there is none of that name. */
TrError *read_bool(const Json *config, const char *name, bool *value);
TrError *read_int(const Json *config, const char *name, int *value);

/* A whole number as people write it, with nothing after it. */
bool parse_int(const char *text, int *value);
bool parse_bool(const char *text, bool *value);

#endif
