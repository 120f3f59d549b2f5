/*
 * malloc.c - a program with a busy glibc heap that tells the truth about it.
 *
 * Tests start it, read one line of JSON from its standard output, look at its
 * memory from outside, and compare what they see with that line. It then does
 * nothing until its standard input has a newline or ends.
 *
 * Build:  gcc -O1 -Wall -Wextra -pthread -o malloc malloc.c
 *         (also with -m32, with -static, and with any glibc from 2.31 on)
 *
 * Usage:  malloc [--threads N] [--blocks N] [--seed N] [--large N] [--small N]
 *                [--sbrk] [--no-brk] [--churn]
 *
 *   --threads N  worker threads (default 4); the main thread allocates too
 *   --blocks N   blocks that each of them allocates (default 2000)
 *   --seed N     start of the random numbers (default 1)
 *   --large N    blocks for each thread that are sure to be mmapped (default 4)
 *   --small N    blocks of 64 bytes that the main thread keeps besides
 *   --sbrk       the main thread moves the break itself between allocations
 *   --no-brk     the break cannot grow, so that the main arena turns to mmap
 *   --churn      after the report, all threads allocate and map at full speed
 *
 * What happens: the main thread allocates; then the workers do, and a thread
 * on a stack of its own making, one with a wide guard, and two that end at
 * once (so that their stacks are cached and their arenas have no thread). Each
 * frees half of its blocks again, in random order. Last, each living thread
 * frees an eighth of the blocks of its neighbour, so that caches of threads
 * hold blocks of foreign arenas. The table of blocks is mmapped, not malloced.
 *
 * How to read the report:
 *   live         the blocks of the table; libc's own blocks (thread vectors,
 *                one FILE) are not in it. "mmapped" is the part of them whose
 *                chunk header has the mmapped bit.
 *   mallinfo     sums over all arenas, but "usmblks" and "keepcost" tell about
 *                the main arena or the whole process only. From mallinfo2 if
 *                libc has it, else from mallinfo: modulo 2^32. Blocks in
 *                thread caches count as used.
 *   malloc_info  "rest" has the top chunk in it; blocks in thread caches are
 *                in neither "fast" nor "rest". glibc adds up the size words
 *                of free chunks with their flags: "rest_size" is one too high
 *                for each of them but the top. The aspace fields are 0 where
 *                libc does not print them (the main arena's subheaps).
 *   stacks       as pthread_getattr_np says, without the guard below "base".
 *   brk          "start" is the break when main began (libc may have allocated
 *                below it in a static program), "end" the break now.
 *   stable       whether the heap was the same after the report was composed
 *                as before. With --churn it is soon out of date all the same.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define MAX_THREADS 256
/* Above the highest value that malloc's dynamic mmap threshold can get. */
#define SURELY_MMAPPED (4 * MIB * sizeof(long) + MIB)

/* ---- Options and threads ---- */

static size_t workers = 4, blocks = 2000, seed = 1, large = 4, small;
static int foreign_sbrk, no_brk, churn;

struct table {
    void **block;
    size_t count;
};

struct thread {
    char name[16];
    pthread_t id;
    pid_t tid;
    uintptr_t stack;
    size_t stack_size, guard;
    uint64_t random;
    size_t blocks;
    bool ends;
    struct table live;
};

/* The main thread, the workers, two special threads; then two that end. */
static struct thread threads[MAX_THREADS + 5];
static size_t alive, all;
static struct table smalls;
static pthread_barrier_t allocated, settled, reported;

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

/* ---- Allocating ---- */

static size_t below(struct thread *t, size_t limit)
{
    t->random ^= t->random >> 12;
    t->random ^= t->random << 25;
    t->random ^= t->random >> 27;
    return (size_t)((t->random * 0x2545F4914F6CDD1DULL) >> 32) % limit;
}

static size_t random_size(struct thread *t)
{
    size_t kind = below(t, 100);
    return 1 + below(t, kind < 1 ? 440 * KIB : kind < 4 ? 16 * KIB : 2000);
}

static void *allocate(struct thread *t, size_t size)
{
    size_t kind = below(t, 1000);
    if (kind < 2)
        return memalign(MIB, size);
    if (kind < 8)
        return memalign(64 * KIB, size);
    if (kind < 60)
        return memalign((size_t)32 << below(t, 9), size);
    if (kind < 120)
        return aligned_alloc((size_t)32 << below(t, 9), size);
    if (kind < 200)
        return calloc(1, size);
    return malloc(size);
}

/* Touches a part of the block, and puts it into the table. */
static void keep(struct table *table, size_t at, void *block, size_t size)
{
    if (!block)
        return;
    if (size > 8 * KIB)
        ((char *)block)[0] = ((char *)block)[size - 1] = 1;
    else
        memset(block, (int)size, (size + 1) / 2);
    table->block[at] = block;
    if (at == table->count)
        table->count++;
}

static void release(struct table *table, size_t at)
{
    free(table->block[at]);
    table->block[at] = table->block[--table->count];
}

/*
 * Keeps a block that is mmapped, aligned, and made smaller, so that the header
 * it leaves behind says a wrong size; and a block that is mapped in the room.
 */
static void keep_shrunk(struct thread *t)
{
    size_t size = SURELY_MMAPPED + below(t, MIB), last = t->live.count;
    void *block = memalign(64 * KIB, size + MIB);
    keep(&t->live, last, block, size + MIB);
    keep(&t->live, last, realloc(block, size), size);
    keep(&t->live, last + 1, malloc(MIB - KIB), MIB - KIB);
}

/* Keeps a block that is mmapped; most of them are aligned or resized too. */
static void keep_mmapped(struct thread *t, size_t kind)
{
    size_t size = SURELY_MMAPPED + below(t, MIB);
    size_t last = t->live.count;
    void *block = kind % 4 == 2   ? memalign(MIB, size)
                  : kind % 4 == 1 ? memalign(64 * KIB, size)
                                  : malloc(size);
    keep(&t->live, last, block, size);
    if (block && kind % 4 >= 2) {
        size = kind % 4 == 2 ? size + MIB : size - MIB / 2;
        keep(&t->live, last, realloc(block, size), size);
    }
}

static void allocate_all(struct thread *t)
{
    struct table *live = &t->live;
    live->block = map((t->blocks + large + 3) * sizeof(void *));
    for (size_t i = 0; i < t->blocks; i++) {
        size_t size = random_size(t);
        keep(live, live->count, allocate(t, size), size);
        if (live->count && below(t, 8) == 0) {
            size_t at = below(t, live->count);
            size = random_size(t);
            keep(live, at, realloc(live->block[at], size), size);
        }
        if (t == threads && foreign_sbrk && i % (blocks / 8 + 1) == 0)
            if (sbrk(12345) == (void *)-1)
                die("sbrk");
    }
    for (size_t left = live->count / 2; left > 0; left--)
        release(live, below(t, live->count));
    for (size_t i = 0; i < large; i++)
        keep_mmapped(t, i);
    if (large)
        keep_shrunk(t);
}

/* Maps a page just above the break, so that it cannot grow. */
static void block_break(void)
{
    void *first = malloc(1);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t end = ((uintptr_t)sbrk(0) + page - 1) & ~(page - 1);
    if (mmap((void *)end, page, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)end)
        die("mmap above the break");
    free(first);
}

static void churn_once(struct thread *t, void **ring)
{
    size_t at = below(t, 64);
    free(ring[at]);
    ring[at] = allocate(t, random_size(t));
    if (at == 0) {
        size_t size = (1 + below(t, 64)) * 4 * KIB;
        char *memory = map(size);
        memory[0] = 1;
        munmap(memory, size);
    }
}

/* ---- Threads ---- */

static void record_stack(struct thread *t)
{
    pthread_attr_t attributes;
    void *base;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        die("pthread_getattr_np");
    pthread_attr_getstack(&attributes, &base, &t->stack_size);
    pthread_attr_getguardsize(&attributes, &t->guard);
    pthread_attr_destroy(&attributes);
    t->stack = (uintptr_t)base;
    t->tid = (pid_t)syscall(SYS_gettid);
    pthread_getname_np(pthread_self(), t->name, sizeof t->name);
}

/* Frees an eighth of the blocks of the next thread. */
static void release_of_neighbour(const struct thread *t)
{
    struct table *live = &threads[((size_t)(t - threads) + 1) % alive].live;
    for (size_t i = 0; i < live->count; i += 8)
        release(live, i);
}

static void *run(void *argument)
{
    struct thread *t = argument;
    void *ring[64] = {NULL};
    pthread_setname_np(pthread_self(), t->name);
    record_stack(t);
    allocate_all(t);
    if (t->ends)
        return NULL;
    pthread_barrier_wait(&allocated);
    release_of_neighbour(t);
    pthread_barrier_wait(&settled);
    pthread_barrier_wait(&reported);
    while (churn)
        churn_once(t, ring);
    for (;;)
        pause();
}

static void prepare(struct thread *t, size_t count)
{
    t->blocks = count;
    t->random = (seed + 1) * 0x9E3779B97F4A7C15ULL + (uint64_t)(t - threads) * 0x632BE59BD9B4E019ULL;
    if (!t->random)
        t->random = 1;
}

static void start(struct thread *t, size_t count, const pthread_attr_t *attributes)
{
    prepare(t, count);
    if (pthread_create(&t->id, attributes, run, t) != 0)
        die("pthread_create");
}

static void start_all(void)
{
    pthread_attr_t attributes;
    struct thread *t = threads + 1;
    for (size_t i = 1; i <= workers; i++, t++) {
        snprintf(t->name, sizeof t->name, "worker-%zu", i);
        start(t, blocks, NULL);
    }

    snprintf(t->name, sizeof t->name, "own-stack");
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, map(256 * KIB), 256 * KIB);
    start(t++, blocks / 8, &attributes);
    pthread_attr_destroy(&attributes);

    snprintf(t->name, sizeof t->name, "wide-guard");
    pthread_attr_init(&attributes);
    pthread_attr_setguardsize(&attributes, 64 * KIB);
    start(t++, blocks / 8, &attributes);
    pthread_attr_destroy(&attributes);

    /* Last, so that no other thread gets their stacks. */
    for (size_t i = 1; i <= 2; i++, t++) {
        snprintf(t->name, sizeof t->name, "ended-%zu", i);
        t->ends = true;
        start(t, blocks / 8, NULL);
    }
    for (t = threads + alive; t < threads + all; t++)
        pthread_join(t->id, NULL);
}

/* ---- Measuring: nothing from here on may call malloc ---- */

static const char *const mallinfo_fields[10] = {
    "arena", "ordblks", "smblks", "hblks", "hblkhd",
    "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
};
struct mallinfo_sizes { size_t field[10]; };
struct mallinfo_ints { unsigned field[10]; };

/* By other names, as mallinfo is deprecated and mallinfo2 not always there. */
extern struct mallinfo_sizes weak_mallinfo2(void) __asm__("mallinfo2") __attribute__((weak));
extern struct mallinfo_ints old_mallinfo(void) __asm__("mallinfo");

struct measurement {
    struct mallinfo_sizes mallinfo;
    size_t length;
    char *text; /* of malloc_info */
};

#define TEXT_SIZE (8 * MIB)
static struct measurement before, after, *current;
static FILE *info_stream;
static char info_buffer[4096];
static char report[256 * KIB];
static size_t report_length;

static ssize_t append(void *cookie, const char *data, size_t size)
{
    (void)cookie;
    if (size >= TEXT_SIZE - current->length)
        return -1;
    memcpy(current->text + current->length, data, size);
    current->length += size;
    return (ssize_t)size;
}

static void open_info_stream(void)
{
    cookie_io_functions_t functions = {.write = append};
    before.text = map(TEXT_SIZE);
    after.text = map(TEXT_SIZE);
    info_stream = fopencookie(NULL, "w", functions);
    if (!info_stream)
        die("fopencookie");
    setvbuf(info_stream, info_buffer, _IOFBF, sizeof info_buffer);
}

static void measure(struct measurement *m)
{
    current = m;
    m->length = 0;
    if (malloc_info(0, info_stream) != 0 || fflush(info_stream) != 0)
        die("malloc_info");
    m->text[m->length] = '\0';
    if (weak_mallinfo2) {
        m->mallinfo = weak_mallinfo2();
    } else {
        struct mallinfo_ints ints = old_mallinfo();
        for (size_t i = 0; i < 10; i++)
            m->mallinfo.field[i] = ints.field[i];
    }
}

static bool same(const struct measurement *a, const struct measurement *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0 &&
           memcmp(&a->mallinfo, &b->mallinfo, sizeof a->mallinfo) == 0;
}

/* An attribute of the first such element before `end`, or 0. */
static size_t number(const char *text, const char *end, const char *element, const char *name)
{
    const char *at = strstr(text, element);
    at = at && at < end ? strstr(at, name) : NULL;
    return at && at < end ? (size_t)strtoull(at + strlen(name), NULL, 10) : 0;
}

/* ---- The report ---- */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = vsnprintf(report + report_length, sizeof report - report_length, format, values);
    va_end(values);
    if (length < 0 || (size_t)length >= sizeof report - report_length)
        die("report too long");
    report_length += (size_t)length;
}

static void say_live(void)
{
    size_t count = 0, usable = 0, mmapped = 0, mmapped_usable = 0;
    for (size_t i = 0; i <= all; i++) {
        const struct table *table = i < all ? &threads[i].live : &smalls;
        for (size_t j = 0; j < table->count; j++) {
            size_t size = malloc_usable_size(table->block[j]);
            bool is_mmapped = ((size_t *)table->block[j])[-1] & 2;
            count++;
            usable += size;
            mmapped += is_mmapped;
            mmapped_usable += is_mmapped ? size : 0;
        }
    }
    say("\"live\":{\"count\":%zu,\"usable\":%zu,\"mmapped\":{\"count\":%zu,\"usable\":%zu}}",
        count, usable, mmapped, mmapped_usable);
    say(",\"samples\":[");
    for (size_t i = 0, n = 0; i < all; i++) {
        if (!threads[i].live.count)
            continue;
        void *block = threads[i].live.block[threads[i].live.count / 2];
        say("%s{\"address\":\"0x%" PRIxPTR "\",\"usable\":%zu}", n++ ? "," : "",
            (uintptr_t)block, malloc_usable_size(block));
    }
    say("]");
}

static void say_mallinfo(const struct mallinfo_sizes *mallinfo)
{
    say(",\"mallinfo\":{");
    for (size_t i = 0; i < 10; i++)
        say("%s\"%s\":%zu", i ? "," : "", mallinfo_fields[i], mallinfo->field[i]);
    say("}");
}

static void say_numbers(const char *prefix, const char *at, const char *end)
{
    say("\"%sfast_count\":%zu,\"%sfast_size\":%zu,\"%srest_count\":%zu,\"%srest_size\":%zu",
        prefix, number(at, end, "<total type=\"fast\"", "count=\""),
        prefix, number(at, end, "<total type=\"fast\"", "size=\""),
        prefix, number(at, end, "<total type=\"rest\"", "count=\""),
        prefix, number(at, end, "<total type=\"rest\"", "size=\""));
    say(",\"%ssystem\":%zu,\"%smax\":%zu", prefix,
        number(at, end, "<system type=\"current\"", "size=\""), prefix,
        number(at, end, "<system type=\"max\"", "size=\""));
    say(",\"%saspace_total\":%zu,\"%saspace_mprotect\":%zu", prefix,
        number(at, end, "<aspace type=\"total\"", "size=\""), prefix,
        number(at, end, "<aspace type=\"mprotect\"", "size=\""));
}

static void say_malloc_info(const char *text)
{
    const char *at = text, *end;
    say(",\"malloc_info\":{\"arenas\":[");
    while ((end = strstr(at, "</heap>"))) {
        say("%s{\"nr\":%zu,", at == text ? "" : ",", number(at, end, "<heap ", "nr=\""));
        say_numbers("", at, end);
        say(",\"aspace_subheaps\":%zu}", number(at, end, "<aspace type=\"subheaps\"", "size=\""));
        at = end + 1;
    }
    say("],");
    end = at + strlen(at);
    say_numbers("total_", at, end);
    say(",\"total_mmap_count\":%zu,\"total_mmap_size\":%zu}",
        number(at, end, "<total type=\"mmap\"", "count=\""),
        number(at, end, "<total type=\"mmap\"", "size=\""));
}

static void say_stacks(const char *field, size_t from, size_t to)
{
    say(",\"%s\":[", field);
    for (struct thread *t = threads + from; t < threads + to; t++)
        say("%s{\"tid\":%d,\"base\":\"0x%" PRIxPTR "\",\"size\":%zu,\"guard\":%zu,\"name\":\"%s\"}",
            t == threads + from ? "" : ",", (int)t->tid, t->stack, t->stack_size, t->guard, t->name);
    say("]");
}

static void say_all(uintptr_t break_at_start)
{
    extern char __bss_start[], _end[];
    say("{\"pid\":%d,\"libc\":\"%s\",", (int)getpid(), gnu_get_libc_version());
    say_live();
    say_mallinfo(&before.mallinfo);
    say_malloc_info(before.text);
    say_stacks("stacks", 0, alive);
    say_stacks("ended", alive, all);
    say(",\"brk\":{\"start\":\"0x%" PRIxPTR "\",\"end\":\"0x%" PRIxPTR "\"}",
        break_at_start, (uintptr_t)sbrk(0));
    say(",\"bss\":{\"start\":\"0x%" PRIxPTR "\",\"end\":\"0x%" PRIxPTR "\"}",
        (uintptr_t)__bss_start, (uintptr_t)_end);
    measure(&after);
    say(",\"stable\":%s}\n", same(&before, &after) ? "true" : "false");
}

/* ---- Main ---- */

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"threads", required_argument, NULL, 't'}, {"blocks", required_argument, NULL, 'b'},
        {"seed", required_argument, NULL, 's'},    {"large", required_argument, NULL, 'l'},
        {"small", required_argument, NULL, 'm'},   {"sbrk", no_argument, &foreign_sbrk, 1},
        {"no-brk", no_argument, &no_brk, 1},       {"churn", no_argument, &churn, 1},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        size_t value = optarg ? strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 't': workers = value; break;
        case 'b': blocks = value; break;
        case 's': seed = value; break;
        case 'l': large = value; break;
        case 'm': small = value; break;
        case 0: break;
        default: _exit(2);
        }
    }
    if (workers > MAX_THREADS)
        workers = MAX_THREADS;
    alive = workers + 3;
    all = alive + 2;
}

int main(int argc, char **argv)
{
    uintptr_t break_at_start = (uintptr_t)sbrk(0);
    void *ring[64] = {NULL};

    read_options(argc, argv);
    pthread_barrier_init(&allocated, NULL, (unsigned)alive);
    pthread_barrier_init(&settled, NULL, (unsigned)alive);
    pthread_barrier_init(&reported, NULL, (unsigned)alive);
    open_info_stream();
    if (no_brk)
        block_break();

    /* Alone: moving the break is not safe while other threads allocate. */
    prepare(threads, blocks);
    allocate_all(threads);
    smalls.block = map((small + 1) * sizeof(void *));
    for (size_t i = 0; i < small; i++)
        keep(&smalls, smalls.count, malloc(64), 64);

    start_all();
    pthread_barrier_wait(&allocated);
    release_of_neighbour(threads);
    pthread_barrier_wait(&settled);
    record_stack(threads);

    measure(&after); /* The first time may allocate. */
    measure(&before);
    say_all(break_at_start);
    if (write(STDOUT_FILENO, report, report_length) != (ssize_t)report_length)
        die("write");
    pthread_barrier_wait(&reported);

    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (churn && poll(&input, 1, 0) == 0)
        churn_once(threads, ring);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
        continue;
    _exit(0);
}
