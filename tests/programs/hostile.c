/*
 * hostile.c - a program that forges what a memory inspector looks for.
 *
 * An inspector that finds glibc's malloc arenas, heaps and thread stacks in the
 * memory of another process must not trust that memory. This program puts
 * false structures there, or breaks its own real ones, in one of several ways.
 * The inspector may then find little or nothing, but must neither hang, nor
 * crash, nor use much memory, nor report sizes beyond the mappings.
 *
 * Build:  gcc -O1 -Wall -Wextra -pthread -o hostile hostile.c     (x86_64 only)
 * Usage:  hostile CASE      (without CASE it lists the cases)
 *
 * It writes "ready" to standard output when all is forged, and waits until its
 * standard input ends. Once the heap is broken it uses system calls only.
 *
 * The layouts are those of glibc 2.31 to 2.42 and of 2.43 (without fastbins).
 */
#define _GNU_SOURCE
#include <gnu/libc-version.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#define HEAP_MAX (64 * MIB)
#define HUGE_BIT ((uintptr_t)1 << 63)
#define NOWHERE ((uintptr_t)0xdead0000) /* Nothing is mapped there. */
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* struct malloc_state: offsets */
struct arena_layout {
    size_t top, bins, next, attached, system_mem, max_system_mem, size;
};
static const struct arena_layout with_fastbins = {96, 112, 2160, 2176, 2184, 2192, 2200};
static const struct arena_layout without_fastbins = {8, 24, 2072, 2088, 2096, 2104, 2112};
static struct arena_layout arena_at;
static int minor_version;

/* struct pthread: offsets */
enum { SELF = 16, LIST = 0x2c0, TID = 0x2d0, STACK_BLOCK = 0x690, PTHREAD_SIZE = 0x940 };

static uintptr_t heap_start;

/* False arenas are put here; not zero at first, so that it is in .data. */
static uintptr_t data[16][280] __attribute__((aligned(32))) = {{1}};
#define DATA(i) ((uintptr_t)data[i])

/* ---- Helpers ---- */

static void put(uintptr_t address, uintptr_t value)
{
    *(volatile uintptr_t *)address = value;
}

static uintptr_t get(uintptr_t address)
{
    return *(volatile uintptr_t *)address;
}

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

static uintptr_t map(size_t size, int protection)
{
    void *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    return (uintptr_t)memory;
}

static void protect(uintptr_t address, size_t size, int protection)
{
    if (mprotect((void *)address, size, protection) != 0)
        die("mprotect");
}

static uintptr_t allocate(size_t size)
{
    void *block = calloc(1, size);
    if (!block)
        die("calloc");
    return (uintptr_t)block;
}

/* Volatile, so that the compiler does not see that blocks are used later on. */
static void release(uintptr_t block)
{
    volatile uintptr_t address = block;
    free((void *)address);
}

/* The address of the bins' list head: where a chunk in the first bin points to. */
static uintptr_t real_main_arena(void)
{
    uintptr_t block = allocate(64 * 1024);
    allocate(16); /* Keeps the block from the top. */
    release(block);
    return get(block) - arena_at.bins + 16;
}

/* An arena as malloc makes it, with empty bins. */
static void forge_arena(uintptr_t arena, uintptr_t next, uintptr_t top, size_t system_mem)
{
    memset((void *)arena, 0, arena_at.size);
    for (size_t i = 0; i < 127; i++) {
        uintptr_t bin = arena + arena_at.bins + i * 16;
        put(bin, bin - 16);
        put(bin + 8, bin - 16);
    }
    put(arena + arena_at.top, top);
    put(arena + arena_at.next, next);
    put(arena + arena_at.attached, 1);
    put(arena + arena_at.system_mem, system_mem);
    put(arena + arena_at.max_system_mem, system_mem);
}

/* A thread with an arena of its own, which allocates and then stands still. */
struct helper {
    pthread_t id;
    uintptr_t block[64];
    pthread_barrier_t done;
};

static void *help(void *argument)
{
    struct helper *helper = argument;
    for (size_t i = 0; i < COUNT(helper->block); i++)
        helper->block[i] = allocate(16 + i * 40);
    for (size_t i = 0; i < COUNT(helper->block); i += 4)
        release(helper->block[i]);
    pthread_barrier_wait(&helper->done);
    for (;;)
        pause();
    return NULL;
}

static struct helper *start_helper(void)
{
    struct helper *helper = (struct helper *)map(sizeof *helper, PROT_READ | PROT_WRITE);
    pthread_barrier_init(&helper->done, NULL, 2);
    if (pthread_create(&helper->id, NULL, help, helper) != 0)
        die("pthread_create");
    pthread_barrier_wait(&helper->done);
    return helper;
}

/* ---- Arenas ---- */

static void forge_ring(void)
{
    enum { LONG = 4096, STEPS = 2 * 1024 * 1024 };
    size_t step = (arena_at.size + 15) & ~(size_t)15;
    uintptr_t many = map(LONG * step, PROT_READ | PROT_WRITE);
    uintptr_t words = map(STEPS * 8 + 2 * PAGE, PROT_READ | PROT_WRITE);
    uintptr_t top = words + 64;

    forge_arena(DATA(0), DATA(1), top, 132 * 1024); /* 0 -> 1 -> 2 -> 1 ... */
    forge_arena(DATA(1), DATA(2), top, HUGE_BIT);
    forge_arena(DATA(2), DATA(1), NOWHERE, ~(size_t)0);
    forge_arena(DATA(3), NOWHERE, top, 132 * 1024);
    forge_arena(DATA(4), DATA(4), DATA(4), 0);
    forge_arena(DATA(5), DATA(5) + 8, 0, 132 * 1024);
    forge_arena(DATA(6), DATA(0) + 64, 1, 132 * 1024);
    forge_arena(DATA(7), 0, ~(uintptr_t)0, 132 * 1024);
    forge_arena(DATA(8), many, top, 132 * 1024);
    forge_arena(DATA(9), words, top, 132 * 1024);
    forge_arena(DATA(10), HUGE_BIT, top, 132 * 1024);
    forge_arena(DATA(11), DATA(11) + PAGE, top, 132 * 1024);

    /* A long chain of arenas that returns to its second, not to 8. */
    for (size_t i = 0; i < LONG; i++)
        forge_arena(many + i * step, many + (i + 1 < LONG ? i + 1 : 1) * step, top, 132 * 1024);
    /* Whichever word one starts at, "next" is the next word: two million steps. */
    for (size_t i = 0; i < STEPS; i++)
        put(words + arena_at.next + i * 8, words + (i + 1) * 8);
}

/* The real main arena's ring leads to the false ones, and never back. */
static void forge_main_ring(void)
{
    uintptr_t arena = real_main_arena();
    start_helper();
    forge_ring();
    put(arena + arena_at.next, DATA(8));
}

static void forge_self_pointers(void)
{
    uintptr_t words = map(16 * MIB, PROT_READ | PROT_WRITE);
    for (uintptr_t word = words; word < words + 16 * MIB; word += 8)
        put(word, word);
}

/* ---- Heaps ---- */

static void forge_heap_info(uintptr_t heap, uintptr_t arena, uintptr_t prev, size_t size, size_t mprotect_size)
{
    uintptr_t fields[] = {arena, prev, size, mprotect_size, PAGE};
    memcpy((void *)heap, fields, sizeof fields);
}

static void forge_heap(void)
{
    enum { HEAPS = 12 };
    const size_t size = 132 * 1024;
    uintptr_t arena = real_main_arena();
    struct helper *helper = start_helper();
    uintptr_t real = helper->block[1] & ~(HEAP_MAX - 1);
    uintptr_t first = (map((HEAPS + 1) * HEAP_MAX, PROT_NONE) + HEAP_MAX - 1) & ~(HEAP_MAX - 1);
#define HEAP(i) (first + (i) * HEAP_MAX)

    for (size_t i = 0; i < HEAPS; i++)
        protect(HEAP(i), i == 8 ? PAGE : 0x21000, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < 4; i++)
        forge_arena(DATA(i), arena, HEAP(i) + 64, size);

    forge_heap_info(HEAP(0), arena, 0, size, size); /* of the main arena */
    forge_heap_info(HEAP(1), HEAP(1) + 48, 0, 4 * size, size);
    forge_heap_info(HEAP(2), DATA(0), 0, HUGE_BIT, HUGE_BIT);
    forge_heap_info(HEAP(3), DATA(1), HEAP(3), 0, 0);
    forge_heap_info(HEAP(4), DATA(2), HEAP(5), size, size); /* 4 -> 5 -> 4 */
    forge_heap_info(HEAP(5), DATA(2), HEAP(4), size, size);
    forge_heap_info(HEAP(6), NOWHERE, NOWHERE, size, size);
    forge_heap_info(HEAP(7), DATA(3), HEAP(6) + 16, size, size);
    forge_heap_info(HEAP(8), HEAP(8) + 48, 0, HEAP_MAX, HEAP_MAX);
    forge_heap_info(HEAP(9), HEAP(9) + 48, HEAP(0), size, size);
    forge_heap_info(HEAP(10), HEAP(9) + 48, HEAP(9), ~(size_t)0, size);
    forge_heap_info(HEAP(11), HEAP(11), 0, size, size);

    /* Arenas in their heaps, in one ring with the main arena. */
    forge_arena(HEAP(1) + 48, HEAP(8) + 48, HEAP(1) + 2400, size);
    forge_arena(HEAP(8) + 48, HEAP(9) + 48, HEAP(7) + 64, HUGE_BIT);
    forge_arena(HEAP(9) + 48, get(arena + arena_at.next), HEAP(10) + 64, size);
    put(arena + arena_at.next, HEAP(1) + 48);

    /* Chunks of absurd sizes behind the arena in heap 9. */
    for (uintptr_t word = HEAP(9) + 2400; word < HEAP(9) + size; word += 16)
        put(word + 8, (word % 48 ? HUGE_BIT : 0) | (word >> 4) % 8);

    /* The real heap of the helper lies too. */
    forge_heap_info(real, get(real), real, HUGE_BIT | size, size);
}

/* ---- Chunks ---- */

static const uintptr_t absurd[] = {
    HUGE_BIT, 0, 8, ~(uintptr_t)0, HUGE_BIT | 7, 3, 0x10, 0x23, 0x7ffffffffffffff1,
    0x1001, ~(uintptr_t)0xfff | 2, 0xfffffffff5, 0x21, 0x20, 1, ~(uintptr_t)15 | 1,
};

static void forge_sizes(void)
{
    static uintptr_t blocks[1024];
    struct helper *helper = start_helper();
    uintptr_t arena = real_main_arena();
    for (size_t i = 0; i < COUNT(blocks); i++)
        blocks[i] = allocate(16 + i % 64 * 40);
    for (size_t i = 0; i < COUNT(blocks); i += 4)
        release(blocks[i]);
    for (size_t i = 0; i < COUNT(blocks); i += 5)
        put(blocks[i] - 8, absurd[i % COUNT(absurd)]);
    for (size_t i = 0; i < COUNT(helper->block); i += 3)
        put(helper->block[i] - 8, absurd[i % COUNT(absurd)]);
    put(get(arena + arena_at.top) + 8, ~(uintptr_t)0);
    put(arena + arena_at.system_mem, ~(size_t)0);
}

/* Thousands of mappings of one page that look like mmapped blocks. */
static void forge_mapped(void)
{
    enum { PAGES = 8192 };
    uintptr_t pages = map(2 * PAGES * PAGE, PROT_NONE);
    for (size_t i = 0; i < PAGES; i++) {
        uintptr_t page = pages + 2 * i * PAGE;
        uintptr_t sizes[] = {PAGE, 2 * PAGE, HUGE_BIT, ~(uintptr_t)0xfff, 0, 16, PAGE + 16,
                             (uintptr_t)1 << 47, PAGE - 16, 2 * PAGES * PAGE};
        protect(page, PAGE, PROT_READ | PROT_WRITE);
        put(page, i % 16 == 15 ? ~(uintptr_t)15 : 0); /* as if aligned */
        put(page + 8, sizes[i % COUNT(sizes)] | 2);
    }
}

/* ---- Free lists ---- */

/* Writes the link of a free block, as libc from 2.32 on disguises it. */
static void put_link(uintptr_t block, uintptr_t value)
{
    put(block, minor_version >= 32 ? block >> 12 ^ value : value);
}

/* Lists of thread caches and fastbins: to itself, of two, astray. */
static void forge_fastbins(void)
{
    static uintptr_t blocks[4][32];
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 32; j++)
            blocks[i][j] = allocate(40 + 16 * i);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 32; j++)
            release(blocks[i][j]);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 32; j++) {
            uintptr_t block = blocks[i][j], other = blocks[i][j ^ 1];
            /* Free blocks in a thread cache have a key; fastbins link chunks. */
            uintptr_t header = get(block + 8) ? 0 : 16;
            uintptr_t links[] = {block - header, other - header, NOWHERE, block + 3};
            put_link(block, links[i]);
        }
    }
}

static void forge_bins(void)
{
    uintptr_t arena = real_main_arena();
    uintptr_t block = allocate(3000), between = allocate(16), other = allocate(5000);
    allocate(16);
    release(block);
    release(other);
    allocate(64 * 1024); /* Sorts both into their bins. */
    put(block, block - 16);
    put(block + 8, block - 16);
    put(other, between - 16);
    for (size_t i = 2; i < 60; i++) {
        uintptr_t astray[] = {NOWHERE, block - 16, HUGE_BIT, heap_start, arena, 1};
        put(arena + arena_at.bins + i * 16, astray[i % COUNT(astray)]);
    }
}

/* False structures of thread caches, and the real one, full of nonsense. */
static void forge_tcache(void)
{
    enum { CACHES = 256 };
    size_t bins = minor_version >= 43 ? 76 : 64;
    size_t size = bins * (sizeof(uint16_t) + sizeof(uintptr_t));
    uintptr_t caches[CACHES];
    for (size_t i = 0; i < CACHES; i++)
        caches[i] = allocate(size);
    /* The real one is the first chunk of that size. */
    uintptr_t chunk = heap_start;
    while ((get(chunk + 8) & ~(uintptr_t)7) != ((size + 8 + 15) & ~(size_t)15))
        chunk += get(chunk + 8) & ~(uintptr_t)7;
    caches[0] = chunk + 16;
    for (size_t i = 0; i < CACHES; i++) {
        uintptr_t astray[] = {caches[i], caches[(i + 1) % CACHES], NOWHERE, HUGE_BIT, 1, heap_start};
        memset((void *)caches[i], i % 3 == 0 ? 0xff : (int)(i % 8), bins * sizeof(uint16_t));
        for (size_t j = 0; j < bins; j++)
            put(caches[i] + bins * sizeof(uint16_t) + 8 * j, astray[(i + j) % COUNT(astray)]);
    }
}

/* ---- Threads ---- */

static void forge_pthread(void)
{
    enum { THREADS = 512, DISTANCE = 8 * 1024 };
    struct helper *helper = start_helper();
    uintptr_t real = (uintptr_t)helper->id;
    uintptr_t area = map(THREADS * DISTANCE, PROT_READ | PROT_WRITE);
    uint32_t real_tid = *(uint32_t *)(real + TID), own_tid = (uint32_t)getpid();
    uintptr_t real_block = get(real + STACK_BLOCK), real_size = get(real + STACK_BLOCK + 8);

    for (size_t i = 0; i < THREADS; i++) {
        uintptr_t start = area + i * DISTANCE, thread = start + DISTANCE - PTHREAD_SIZE;
        uintptr_t next = area + (i * 7 + 1) % THREADS * DISTANCE + DISTANCE - PTHREAD_SIZE;
        uint32_t tids[] = {own_tid, real_tid, 0, 0xffffffff, 1, own_tid + 1000, 0x7fffffff};
        const struct { uintptr_t block, size, guard; } stacks[] = {
            {start, DISTANCE, PAGE},              /* fits */
            {area, THREADS * DISTANCE, PAGE},     /* overlaps all others */
            {start - PAGE, 2 * DISTANCE, PAGE},   /* overlaps its neighbours */
            {NOWHERE, DISTANCE, PAGE},            /* in no mapping */
            {start, HUGE_BIT, PAGE},
            {start, ~(uintptr_t)0, PAGE},         /* ends before it starts */
            {start, DISTANCE, HUGE_BIT},
            {start, DISTANCE, DISTANCE + PAGE},   /* all guard */
            {real_block, real_size, PAGE},        /* another's stack */
            {area + THREADS * DISTANCE, DISTANCE, 0},
            {start + 8, DISTANCE, 1},
            {0, 0, 0},
        };
        size_t n = i % COUNT(stacks);
        put(thread, thread);
        put(thread + SELF, thread);
        put(thread + LIST, next + LIST);
        put(thread + LIST + 8, i % 5 ? thread + LIST : NOWHERE);
        *(uint32_t *)(thread + TID) = tids[i % COUNT(tids)];
        put(thread + STACK_BLOCK, stacks[n].block);
        put(thread + STACK_BLOCK + 8, stacks[n].size);
        put(thread + STACK_BLOCK + 16, stacks[n].guard);
        put(thread + STACK_BLOCK + 24, stacks[n].guard);
    }
    /* The list of real threads leads into the false ones. */
    put(real + LIST, area + DISTANCE - PTHREAD_SIZE + LIST);
}

/* ---- Main ---- */

static const struct {
    const char *name;
    void (*forge)(void);
    const char *what;
} cases[] = {
    {"ring", forge_ring, "false arenas in .data, whose rings are long, or loop, or lead astray"},
    {"main-ring", forge_main_ring, "the same, and the real main arena leads to them"},
    {"self-pointers", forge_self_pointers, "16 MiB of words that hold their own address"},
    {"sizes", forge_sizes, "absurd sizes in the headers of real chunks"},
    {"heap", forge_heap, "false heaps at multiples of 64 MiB, of real and of false arenas"},
    {"pthread", forge_pthread, "false thread descriptors with absurd stacks"},
    {"mapped", forge_mapped, "8192 mappings that look like mmapped blocks"},
    {"fastbins", forge_fastbins, "rings in the lists of fastbins and of a thread cache"},
    {"bins", forge_bins, "rings and stray pointers in the bins of the main arena"},
    {"tcache", forge_tcache, "false and broken structures of thread caches"},
};

int main(int argc, char **argv)
{
    char byte;
    heap_start = (uintptr_t)sbrk(0);
    minor_version = atoi(gnu_get_libc_version() + 2);
    arena_at = minor_version >= 43 ? without_fastbins : with_fastbins;
    for (size_t i = 0; argc == 2 && i < COUNT(cases); i++) {
        if (strcmp(argv[1], cases[i].name) != 0)
            continue;
        release(allocate(1000)); /* So that there is a real heap in any case. */
        cases[i].forge();
        syscall(SYS_write, STDOUT_FILENO, "ready\n", 6);
        while (syscall(SYS_read, STDIN_FILENO, &byte, 1) == 1)
            continue;
        syscall(SYS_exit_group, 0);
    }
    fprintf(stderr, "usage: hostile CASE\n");
    for (size_t i = 0; i < COUNT(cases); i++)
        fprintf(stderr, "  %-14s %s\n", cases[i].name, cases[i].what);
    return 2;
}
