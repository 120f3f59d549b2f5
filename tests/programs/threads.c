/*
 * threads.c - a small program with threads that tells where their stacks are.
 *
 * Four threads with names, one of them with a small stack, stand still; so does
 * the main thread, until its standard input ends. Before, it prints one line of
 * JSON: its pid and each thread's stack as pthread_getattr_np tells it. It is
 * meant for C libraries other than glibc too.
 *
 * Build:  musl-gcc -O1 -Wall -Wextra -pthread -o threads-musl threads.c
 *         (also with -static, and with gcc)
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 4
#define SMALL_STACK ((size_t)192 * 1024)

struct thread {
    char name[16];
    pid_t tid;
    uintptr_t base;
    size_t size, guard;
};

static struct thread threads[1 + THREADS]; /* The main thread is the first. */
static pthread_barrier_t recorded;

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

static void record(struct thread *t)
{
    pthread_attr_t attributes;
    void *base;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        die("pthread_getattr_np");
    pthread_attr_getstack(&attributes, &base, &t->size);
    pthread_attr_getguardsize(&attributes, &t->guard);
    pthread_attr_destroy(&attributes);
    t->base = (uintptr_t)base;
    t->tid = (pid_t)syscall(SYS_gettid);
}

static void *run(void *argument)
{
    struct thread *t = argument;
    pthread_setname_np(pthread_self(), t->name);
    record(t);
    free(malloc(100));
    pthread_barrier_wait(&recorded);
    for (;;)
        pause();
    return NULL;
}

int main(void)
{
    pthread_barrier_init(&recorded, NULL, 1 + THREADS);
    snprintf(threads[0].name, sizeof threads[0].name, "main");
    for (int i = 1; i <= THREADS; i++) {
        pthread_t id;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        if (i == THREADS)
            pthread_attr_setstacksize(&attributes, SMALL_STACK);
        snprintf(threads[i].name, sizeof threads[i].name, i == THREADS ? "small-stack" : "worker-%d", i);
        if (pthread_create(&id, &attributes, run, &threads[i]) != 0)
            die("pthread_create");
        pthread_attr_destroy(&attributes);
    }
    pthread_barrier_wait(&recorded);
    record(&threads[0]);

    printf("{\"pid\":%d,\"stacks\":[", (int)getpid());
    for (int i = 0; i <= THREADS; i++)
        printf("%s{\"tid\":%d,\"base\":\"0x%" PRIxPTR "\",\"size\":%zu,\"guard\":%zu,\"name\":\"%s\"}",
               i ? "," : "", (int)threads[i].tid, threads[i].base, threads[i].size,
               threads[i].guard, threads[i].name);
    printf("]}\n");
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    _exit(0);
}
