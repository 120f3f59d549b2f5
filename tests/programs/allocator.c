/*
 * allocator.c - a program that allocates by whatever malloc it got, and says
 * how much of it lives.
 *
 * Tests start it with an allocator preloaded or linked, read one line of JSON
 * from its standard output, and compare it with what they see from outside.
 * It then waits until its standard input ends.
 *
 * Build:  gcc -O1 -pthread -o allocator allocator.c
 *         (also by musl-gcc, also with -static and an allocator's archive)
 *
 * Usage:  allocator [--threads N] [--blocks N] [--churn]
 *
 *   --threads N  threads besides the main one (default 3); they stay
 *   --blocks N   blocks that each thread allocates (default 6000)
 *   --churn      after the report, the other threads allocate at full speed
 *
 * Each thread allocates blocks, nearly all small and a few of some megabytes,
 * and frees every other one. The table of blocks is mapped, not allocated.
 *
 * The report: "live" are the blocks of the table, with malloc_usable_size as
 * their bytes. "statistics" are the allocator's own, if it has any to ask for:
 * those of jemalloc's mallctl or of tcmalloc's MallocExtension.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_THREADS 64
#define LENGTH(array) (sizeof array / sizeof *array)

static size_t workers = 3, blocks = 6000;
static int churn;
static pthread_barrier_t allocated, reported;

static struct table {
    void **block;
    uint64_t random;
} tables[MAX_THREADS];

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

static uint64_t below(struct table *t, uint64_t limit)
{
    t->random ^= t->random >> 12;
    t->random ^= t->random << 25;
    t->random ^= t->random >> 27;
    return t->random * 0x2545F4914F6CDD1Du % limit;
}

static size_t size(struct table *t)
{
    uint64_t kind = below(t, 1000);
    if (kind < 800)
        return 1 + below(t, 500);
    if (kind < 980)
        return 1 + below(t, 12 << 10);
    if (kind < 997)
        return 1 + below(t, 400 << 10);
    return 1 + below(t, 5 << 20);
}

static void *block(struct table *t)
{
    size_t bytes = size(t);
    char *made = malloc(bytes);
    if (!made)
        die("malloc");
    made[0] = made[bytes - 1] = 1;
    return made;
}

static void *work(void *table)
{
    struct table *t = table;
    for (size_t i = 0; i < blocks; i++)
        t->block[i] = block(t);
    for (size_t i = 0; i < blocks; i += 2) {
        free(t->block[i]);
        t->block[i] = NULL;
    }
    pthread_barrier_wait(&allocated);
    pthread_barrier_wait(&reported);
    while (churn) {
        size_t i = below(t, blocks);
        free(t->block[i]);
        t->block[i] = block(t);
    }
    pause();
    return NULL;
}

/* ---- The statistics of the allocator ---- */

static char line[8192];
static size_t used;

static void put(const char *format, const char *name, uint64_t value)
{
    used += snprintf(line + used, sizeof line - used, format, name, value);
}

static int (*control)(const char *, void *, size_t *, void *, size_t);

static uint64_t ask(const char *name)
{
    uint64_t value = 0;
    unsigned number = 0;
    size_t length = sizeof value;
    if (!control(name, &value, &length, NULL, 0))
        return value;
    /* The number of bins is an unsigned. */
    length = sizeof number;
    return control(name, &number, &length, NULL, 0) ? 0 : number;
}

/* The sum over the bins or the classes of large blocks of all arenas. */
static uint64_t sum(const char *count, const char *format)
{
    char name[80];
    uint64_t total = 0;
    for (uint64_t i = 0, end = ask(count); i < end; i++) {
        snprintf(name, sizeof name, format, i);
        total += ask(name);
    }
    return total;
}

static void jemalloc(void)
{
    static const char *const names[] = {
        "stats.allocated",
        "stats.active",
        "stats.retained",
        "stats.metadata",
        "stats.arenas.4096.small.allocated",
        "stats.arenas.4096.large.allocated",
        "stats.arenas.4096.pdirty",
        "stats.arenas.4096.pmuzzy",
    };
    uint64_t epoch = 1;
    control("epoch", NULL, NULL, &epoch, sizeof epoch);
    for (size_t i = 0; i < LENGTH(names); i++)
        put("\"%s\": %" PRIu64 ", ", names[i], ask(names[i]));
    put("\"%s\": %" PRIu64, "blocks",
        sum("arenas.nbins", "stats.arenas.4096.bins.%" PRIu64 ".curregs") +
            sum("arenas.nlextents", "stats.arenas.4096.lextents.%" PRIu64 ".curlextents"));
}

static void tcmalloc(int (*property)(const char *, size_t *))
{
    static const char *const names[] = {
        "generic.current_allocated_bytes",
        "generic.heap_size",
        "tcmalloc.pageheap_free_bytes",
        "tcmalloc.pageheap_unmapped_bytes",
        "tcmalloc.central_cache_free_bytes",
        "tcmalloc.transfer_cache_free_bytes",
        "tcmalloc.thread_cache_free_bytes",
    };
    for (size_t i = 0; i < LENGTH(names); i++) {
        size_t value = 0;
        property(names[i], &value);
        put(i ? ", \"%s\": %" PRIu64 : "\"%s\": %" PRIu64, names[i], value);
    }
}

static void report(void)
{
    uint64_t count = 0, bytes = 0;
    for (size_t t = 0; t <= workers; t++) {
        for (size_t i = 0; i < blocks; i++) {
            if (tables[t].block[i]) {
                count++;
                bytes += malloc_usable_size(tables[t].block[i]);
            }
        }
    }
    /* The first call of dlsym and of snprintf may allocate. */
    control = (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
    void *property = dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
    put("{\"%s\": %" PRIu64 ", ", "pid", (uint64_t)getpid());
    put("\"live\": {\"%s\": %" PRIu64 ", ", "count", count);
    put("\"%s\": %" PRIu64 "}, \"statistics\": {", "usable", bytes);
    if (control)
        jemalloc();
    else if (property)
        tcmalloc((int (*)(const char *, size_t *))property);
    used += snprintf(line + used, sizeof line - used, "}}\n");
    if (write(1, line, used) != (ssize_t)used)
        die("write");
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--churn"))
            churn = 1;
        else if (!strcmp(arguments[i], "--threads") && i + 1 < count)
            workers = strtoul(arguments[++i], NULL, 10);
        else if (!strcmp(arguments[i], "--blocks") && i + 1 < count)
            blocks = strtoul(arguments[++i], NULL, 10);
    }
    if (workers >= MAX_THREADS)
        workers = MAX_THREADS - 1;
    pthread_barrier_init(&allocated, NULL, workers + 1);
    pthread_barrier_init(&reported, NULL, workers + 1);
    for (size_t i = 0; i <= workers; i++) {
        tables[i].random = i + 1;
        tables[i].block = mmap(NULL, blocks * sizeof(void *), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (tables[i].block == MAP_FAILED)
            die("mmap");
    }
    for (size_t i = 1; i <= workers; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, &tables[i]))
            die("pthread_create");
    }
    /* The main thread does as the others, and reports in between. */
    struct table *t = &tables[0];
    for (size_t i = 0; i < blocks; i++)
        t->block[i] = block(t);
    for (size_t i = 0; i < blocks; i += 2) {
        free(t->block[i]);
        t->block[i] = NULL;
    }
    pthread_barrier_wait(&allocated);
    report();
    pthread_barrier_wait(&reported);
    while (read(0, line, sizeof line) > 0)
        ;
    return 0;
}
