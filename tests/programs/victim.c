/*
 * victim.c - a small program with one mapping of each kind, which ends with a core.
 *
 * Usage:  victim SMAPS abort|segv|wait
 *
 * It makes files in the working directory and maps them, copies its own
 * /proc/self/smaps to the file SMAPS, and prints one line of JSON: its pid, where its
 * anonymous memory is, and how much of that it touched. Then it sends itself SIGABRT,
 * writes to address 0x10, or waits until its standard input ends.
 *
 * Build:  cc -O1 -Wall -Wextra -pthread -o victim victim.c
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define SIZE (16 * PAGE)
#define KINDS 16

static pthread_barrier_t ready;
static char *area;

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

/* Maps at a place of its own, with unmapped pages around it, so that no mappings join. */
static char *map(int protection, int flags, int file, off_t offset)
{
    char *at = mmap(area + PAGE, SIZE, protection, flags | MAP_FIXED, file, offset);
    if (at == MAP_FAILED)
        die("mmap");
    area += SIZE + 2 * PAGE;
    return at;
}

static int make_file(const char *name)
{
    static char page[4096];
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0)
        die(name);
    for (size_t i = 0; i < 2 * SIZE / PAGE; i++) {
        memset(page, 'a' + (int)i % 26, sizeof page);
        if (write(file, page, sizeof page) != (ssize_t)sizeof page)
            die(name);
    }
    return file;
}

static void touch(char *at, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        at[i * PAGE + 8] = 'x';
}

static volatile char seen;

static void look(const char *at)
{
    seen = at[PAGE];
}

static void copy_smaps(const char *path)
{
    static char buffer[1 << 16];
    int from = open("/proc/self/smaps", O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t got;
    if (from < 0 || to < 0)
        die(path);
    while ((got = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, (size_t)got) != got)
            die(path);
    close(from);
    close(to);
}

static void *stand_still(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&ready);
    for (;;)
        pause();
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    size_t room = KINDS * (SIZE + 2 * PAGE);
    area = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED || munmap(area, room) != 0)
        die("mmap");

    char *private = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    touch(private, 5);
    private[7 * PAGE] = 0; /* A page of zeros that is there. */
    __asm__ volatile("" : : "r"(private) : "memory");
    touch(map(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 2);
    map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    int file = make_file("a file");
    look(map(PROT_READ, MAP_PRIVATE, file, 0));
    look(map(PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 3 * (off_t)PAGE));
    touch(map(PROT_READ | PROT_WRITE, MAP_PRIVATE, file, (off_t)PAGE), 3);
    look(map(PROT_READ, MAP_SHARED, file, (off_t)SIZE));
    touch(map(PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), 1);
    look(map(PROT_READ, MAP_PRIVATE, make_file("two\nlines \033[31m"), 0));
    look(map(PROT_READ, MAP_PRIVATE, make_file("gone"), 0));
    unlink("gone");

    int memory = memfd_create("buffer", 0), zero = open("/dev/zero", O_RDWR);
    if (memory < 0 || zero < 0 || ftruncate(memory, (off_t)SIZE) != 0)
        die("memfd_create");
    touch(map(PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0), 2);
    touch(map(PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0), 2);

    map(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *forbidden = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    touch(forbidden, 2);
    mprotect(forbidden, SIZE, PROT_NONE);
    char *secret = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    touch(secret, 4);
    madvise(secret, SIZE, MADV_DONTDUMP);

    pthread_t thread;
    pthread_barrier_init(&ready, NULL, 2);
    if (pthread_create(&thread, NULL, stand_still, NULL) != 0)
        die("pthread_create");
    pthread_barrier_wait(&ready);
    char *block = malloc(5000);
    if (!block)
        die("malloc");
    memset(block, 'm', 5000);

    printf("{\"pid\":%d,\"private\":%zu,\"resident\":%zu,\"secret\":%zu,\"forbidden\":%zu,\"block\":%zu}\n",
           (int)getpid(), (size_t)(uintptr_t)private, 6 * PAGE, (size_t)(uintptr_t)secret,
           (size_t)(uintptr_t)forbidden, (size_t)(uintptr_t)block);
    fflush(stdout);
    /* The first copy touches what the second one needs. */
    copy_smaps(argv[1]);
    copy_smaps(argv[1]);
    switch (argv[2][0]) {
    case 'a':
        kill(getpid(), SIGABRT);
        for (;;)
            pause();
    case 's':
        *(volatile char *)0x10 = 1;
        break;
    default:
        printf("waiting\n");
        fflush(stdout);
        while (getchar() != EOF)
            continue;
    }
    _exit(0);
}
