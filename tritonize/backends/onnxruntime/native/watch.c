#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

/* Cancelling is for runs that last; a shorter one ends before anybody looks. */
enum { PERIOD_MS = 50 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_t watcher;
static bool started, asleep, stopping;
static Instance *running; /* list of the instances that compute */

static void look(Instance *instance)
{
    const Batch *batch = instance->running;
    for (size_t i = 0; i < batch->count; i++) {
        bool cancelled = false;
        drop(TRITONBACKEND_RequestIsCancelled(batch->jobs[i]->request, &cancelled));
        if (!cancelled)
            return;
    }
    drop(checked(ort.RunOptionsSetTerminate(instance->run_options)));
    instance->terminated = true;
}

static void wait_a_period(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PERIOD_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!stopping && pthread_cond_timedwait(&wake, &lock, &until) != ETIMEDOUT)
        ;
}

static void *watch(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    while (!stopping) {
        if (!running) {
            asleep = true;
            pthread_cond_wait(&wake, &lock);
            asleep = false;
            continue;
        }
        wait_a_period();
        for (Instance *each = running; each; each = each->next)
            if (!each->terminated)
                look(each);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

void watch_begin(Batch *batch)
{
    if (!TRITONBACKEND_RequestIsCancelled)
        return;
    Instance *instance = batch->instance;
    pthread_mutex_lock(&lock);
    if (!started)
        started = !pthread_create(&watcher, NULL, watch, NULL);
    instance->running = batch;
    instance->next = running;
    running = instance;
    if (asleep)
        pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
}

bool watch_end(Batch *batch)
{
    Instance *instance = batch->instance;
    if (!instance->running)
        return false;
    pthread_mutex_lock(&lock);
    Instance **place = &running;
    while (*place != instance)
        place = &(*place)->next;
    *place = instance->next;
    bool terminated = instance->terminated;
    instance->running = NULL;
    instance->terminated = false;
    pthread_mutex_unlock(&lock);
    if (terminated)
        drop(checked(ort.RunOptionsUnsetTerminate(instance->run_options)));
    return terminated;
}

void watch_stop(void)
{
    pthread_mutex_lock(&lock);
    bool join = started;
    stopping = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
    if (join)
        pthread_join(watcher, NULL);
    started = stopping = false;
}
