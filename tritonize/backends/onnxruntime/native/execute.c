#define _GNU_SOURCE
#include "execute.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"
#include "watch.h"

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Sends the request's answer and releases the request. */
static void finish(Job *job, Batch *batch)
{
    bool good = !job->error;
    uint64_t end;
    if (!job->response)
        drop(TRITONBACKEND_ResponseNew(&job->response, job->request));
    if (job->response)
        drop(TRITONBACKEND_ResponseSend(job->response, TR_RESPONSE_FINAL, job->error));
    if (job->error)
        TRITONSERVER_ErrorDelete(job->error);
    end = now();
    drop(TRITONBACKEND_ModelInstanceReportStatistics(batch->instance->handle, job->request, good,
                                                     batch->started, batch->computing,
                                                     batch->computed, end));
    drop(TRITONBACKEND_RequestRelease(job->request, TR_REQUEST_RELEASE_ALL));
    job->done = true;
}

static TrError *compute(Batch *batch)
{
    Instance *instance = batch->instance;
    TRY(gather_inputs(batch));
    TRY(prepare_outputs(batch));
    batch->computing = now();
    watch_begin(batch);
    TrError *error =
        checked(ort.Run(instance->session, instance->run_options, instance->in_names,
                        (const OrtValue *const *)instance->in_values, instance->in_count,
                        instance->out_names, instance->out_count, instance->out_values));
    bool cancelled = watch_end(batch);
    batch->computed = now();
    if (!error)
        return read_results(batch);
    if (cancelled) {
        TRITONSERVER_ErrorDelete(error);
        return fail(TR_CANCELLED, "the request was cancelled while the model ran");
    }
    /* A declared shape was broken. Its response has begun and cannot be begun anew. */
    for (size_t i = 0; i < instance->out_count; i++)
        if (instance->results[i].in_place)
            instance->placements[instance->results[i].index] = NEVER_IN_PLACE;
    return error;
}

/* Answers a request that does not run. */
static void refuse(Instance *instance, Job *job, TrError *error)
{
    uint64_t time = now();
    Batch none = {.instance = instance, .started = time, .computing = time, .computed = time};
    job->error = error;
    finish(job, &none);
}

static TrError *check_cancelled(TrRequest *request)
{
    bool cancelled = false;
    if (TRITONBACKEND_RequestIsCancelled)
        drop(TRITONBACKEND_RequestIsCancelled(request, &cancelled));
    return cancelled ? fail(TR_CANCELLED, "the request was cancelled before the model ran") : NULL;
}

/* Answers the jobs that have been cancelled; returns the number of the others, which come first. */
static size_t drop_cancelled(Instance *instance, Job **jobs, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        TrError *cancelled = check_cancelled(jobs[i]->request);
        if (cancelled)
            refuse(instance, jobs[i], cancelled);
        else
            jobs[kept++] = jobs[i];
    }
    return kept;
}

/* Runs the jobs as one batch. If that fails, each runs alone, so that only the faulty one gets an
 * error. */
static void run_jobs(Instance *instance, Job **jobs, size_t count)
{
    count = drop_cancelled(instance, jobs, count);
    if (!count)
        return;
    uint64_t started = now();
    Batch batch = {.instance = instance, .jobs = jobs, .count = count};
    batch.started = batch.computing = batch.computed = started;
    for (size_t i = 0; i < count; i++)
        batch.rows += jobs[i]->rows;
    TrError *error = compute(&batch);
    if (error && count > 1) {
        release_values(&batch);
        say(TR_LOG_VERBOSE, "%zu joined requests failed and run one by one: %s", count,
            TRITONSERVER_ErrorMessage(error));
        TRITONSERVER_ErrorDelete(error);
        for (size_t i = 0; i < count; i++)
            run_jobs(instance, jobs + i, 1);
        return;
    }
    for (size_t i = 0; i < count; i++)
        jobs[i]->error = error ? error : write_outputs(&batch, i);
    release_values(&batch); /* they lie in the memory of requests and responses */
    for (size_t i = 0; i < count; i++)
        finish(jobs[i], &batch);
    if (!error)
        drop(TRITONBACKEND_ModelInstanceReportBatchStatistics(
            instance->handle, (uint64_t)batch.rows, started, batch.computing, batch.computed,
            now()));
}

/* Takes the first job that is not done and all later ones that can run with it. */
static size_t next_group(const Model *model, Job *jobs, size_t count, Job **group)
{
    size_t found = 0;
    int64_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].done)
            continue;
        if (found &&
            (rows + jobs[i].rows > model->max_batch || !can_join(model, group[0], &jobs[i])))
            continue;
        rows += jobs[i].rows;
        group[found++] = &jobs[i];
    }
    return found;
}

void execute(Instance *instance, TrRequest **requests, uint32_t count)
{
    const Model *model = instance->model;
    size_t inputs = model->inputs.count, outputs = model->outputs.count;
    Job *jobs = calloc(count, sizeof *jobs);
    Job **group = calloc(count, sizeof(Job *));
    Source *sources = calloc(count * inputs + 1, sizeof *sources);
    bool *wanted = calloc(count * outputs + 1, sizeof *wanted);
    if (!jobs || !group || !sources || !wanted) {
        for (uint32_t i = 0; i < count; i++)
            refuse(instance, &(Job){.request = requests[i]}, no_memory("the requests"));
        count = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        Job *job = &jobs[i];
        *job = (Job){.request = requests[i],
                     .sources = sources + i * inputs,
                     .wanted = wanted + i * outputs};
        TrError *error = read_request(model, job);
        if (error)
            refuse(instance, job, error);
    }
    for (size_t found; count && (found = next_group(model, jobs, count, group));)
        run_jobs(instance, group, found);
    free(jobs);
    free(group);
    free(sources);
    free(wanted);
}

static TrError *allocate(Instance *instance)
{
    size_t inputs = instance->model->inputs.count + 1, outputs = instance->model->outputs.count + 1;
    instance->rooms = calloc(inputs, sizeof *instance->rooms);
    instance->in_names = calloc(inputs, sizeof *instance->in_names);
    instance->in_values = calloc(inputs, sizeof *instance->in_values);
    instance->last_shapes = calloc(inputs, sizeof *instance->last_shapes);
    instance->results = calloc(outputs, sizeof *instance->results);
    instance->out_names = calloc(outputs, sizeof *instance->out_names);
    instance->out_values = calloc(outputs, sizeof *instance->out_values);
    instance->placements = calloc(outputs, sizeof *instance->placements);
    if (instance->rooms && instance->in_names && instance->in_values && instance->last_shapes &&
        instance->results && instance->out_names && instance->out_values && instance->placements)
        return NULL;
    return no_memory("an instance of the model");
}

TrError *instance_new(Model *model, TrInstance *handle, Instance **made)
{
    Instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return no_memory("an instance of the model");
    instance->model = model;
    instance->handle = handle;
    TrError *error = allocate(instance);
    if (!error)
        error = make_run_options(model->config, &instance->run_options);
    if (!error)
        error = model_take_session(model, &instance->session);
    if (error)
        instance_free(instance);
    else
        *made = instance;
    return error;
}

void instance_free(Instance *instance)
{
    if (instance->session)
        model_give_back(instance->model, instance->session);
    if (instance->run_options)
        ort.ReleaseRunOptions(instance->run_options);
    for (size_t i = 0; instance->rooms && i < instance->model->inputs.count; i++)
        free(instance->rooms[i].data);
    free(instance->rooms);
    free(instance->in_names);
    free(instance->in_values);
    free(instance->last_shapes);
    free(instance->results);
    free(instance->out_names);
    free(instance->out_values);
    free(instance->placements);
    free(instance);
}
