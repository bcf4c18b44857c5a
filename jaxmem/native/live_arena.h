/* An arena that a policy fills in a program, and the log of it: what libraries that are loaded into
 * programs have in common, whatever memory they place blocks in. Part of what includes it.
 *
 * One lock is held while a block is placed or freed. */
#ifndef JAXMEM_LIVE_ARENA_H
#define JAXMEM_LIVE_ARENA_H

#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <time.h>
#include <x86intrin.h>

#include "table.c"
#include "loaded.h"
#include "site_key.h"
#include "live_log.h"
#include "jaxmem_policy.c" /* of the policy that is played */

enum { PATH_MOST = 3000, SITES = 1 << 20, SITE_TRIES = 16, KINDS = 1 << 20 };
enum { TIMED = 64, INTERRUPTED = 30000 }; /* operations; ticks, of about 10 us */

struct site {
    uint64_t chain, key; /* chain 0: none is here */
};

/* What is kept of a block outside the table: where the policy counts what dies, of all, else of those
 * that went elsewhere. */
struct kept_block {
    uintptr_t address; /* 0: none, 1: none any more */
    uint64_t request;
    struct jaxmem_block block;
};

/* A child that is forked finds zeros here. */
struct process {
    uint64_t alive;
};

static struct {
    struct table table;
    struct jaxmem_state policy;
    uint64_t requests;
    uint32_t depth;
    char path[PATH_MOST];
    char program[PATH_MAX];
    struct live_head *head;
    _Atomic uint64_t *part; /* of the log that is written */
    uint32_t part_at, words; /* words in it; of an event */
    uint64_t log_bytes;
    struct cached *rules;
    struct site *sites;
    struct kept_block *kept;
    uint64_t kept_room, kept_used;
} live;

static struct process *process;      /* NULL: nothing is logged */
static _Atomic int lock;             /* 0: free, 1: held, 2: waited for */
static _Atomic uint64_t lost_blocks; /* live, that went to another place */
LOCAL_THREAD uint32_t operation;

/* ---- One at a time ---- */

/* Whether it was taken: a program of one thread needs none. */
static inline bool locked(void)
{
    if (__libc_single_threaded)
        return false;
    int was = 0;
    if (UNLIKELY(!atomic_compare_exchange_strong_explicit(&lock, &was, 1, memory_order_acquire,
                                                          memory_order_relaxed))) {
        for (int tries = 0; tries < 100 && atomic_load_explicit(&lock, memory_order_relaxed); tries++)
            _mm_pause();
        int error = errno;
        while (atomic_exchange_explicit(&lock, 2, memory_order_acquire))
            syscall(SYS_futex, &lock, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
        errno = error;
    }
    return true;
}

static inline void unlocked(bool taken)
{
    if (taken && UNLIKELY(atomic_exchange_explicit(&lock, 0, memory_order_release) == 2)) {
        int error = errno;
        syscall(SYS_futex, &lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        errno = error;
    }
}

/* ---- The log ---- */

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What the kernel says of the program's largest size: not that of what it was forked from. */
static void see_memory(void)
{
    char text[2048];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    text[bytes > 0 ? bytes : 0] = 0;
    const char *found = strstr(text, "VmHWM:");
    if (found)
        live.head->peak_rss = (uint64_t)strtoull(found + 6, NULL, 10) * 1024;
    live.head->tick[1] = __rdtsc();
    live.head->ns[1] = nanoseconds();
}

static inline bool logging(void)
{
    return LIKELY(process != NULL) && LIKELY(process->alive);
}

static bool new_part(void)
{
    int error = errno;
    if (live.part)
        munmap(live.part, LOG_PART);
    live.part = mapped_part(live.path, live.log_bytes, LOG_PART);
    if (live.part) {
        live.log_bytes += LOG_PART;
        live.part_at = 0;
    } else {
        live.head->stopped = (uint64_t)errno;
        process = NULL;
    }
    see_memory();
    errno = error;
    return live.part != NULL;
}

static inline void write_words(uint64_t what, uint64_t key)
{
    if (!logging() || (UNLIKELY(live.part_at == LOG_PART / 8) && !new_part()))
        return;
    _Atomic uint64_t *event = live.part + live.part_at;
    live.part_at += live.words;
    if (live.words > 1)
        atomic_store_explicit(event + 1, key, memory_order_relaxed);
    atomic_store_explicit(event, what, memory_order_release);
}

static inline void write_event(uint64_t kind, uint64_t bytes, uint64_t key, uint32_t start)
{
    uint64_t most = ((uint64_t)1 << SIZE_BITS) - 1;
    if (UNLIKELY(bytes >= most)) {
        write_words(LARGE | bytes << 3, 0);
        bytes = most;
    }
    write_words(kind | (uint64_t)(start & 0x7fffffff) << 3 | bytes << 34, key);
}

/* Begins a log; false: it cannot be. */
static bool begin_log(const char *path)
{
    if (!path || !*path || strlen(path) > PATH_MOST - 1)
        return false;
    snprintf(live.path, PATH_MOST, "%s", path);
    unlink(live.path); /* not cut short: a process that has it mapped would be ended */
    int file = open(live.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return false;
    close(file);
    live.head = mapped_part(live.path, 0, LOG_PAGE);
    if (!live.head)
        return false;
    live.log_bytes = LOG_PAGE;
    live.part_at = LOG_PART / 8;
    live.head->version = LIVE_VERSION;
    live.head->tick[0] = __rdtsc();
    live.head->ns[0] = nanoseconds();
    memcpy(live.head->magic, "jaxmem-live", 12);
    return true;
}

/* ---- Beginning ---- */

static uint64_t number_of(const char *name, uint64_t usual)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : usual;
}

static void *zeros(size_t bytes)
{
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
    return room == MAP_FAILED ? NULL : room;
}

/* Begins what is known of requests, and of processes that are forked; false: there is no memory.
 *
 * depth: return addresses of a call site, 0 .. MOST_DEPTH. */
static bool begin_policy(uint64_t depth)
{
    struct process *page = zeros(LOG_PAGE);
    if (!page || madvise(page, LOG_PAGE, MADV_WIPEONFORK) != 0)
        return false;
    live.depth = (uint32_t)(depth > MOST_DEPTH ? MOST_DEPTH : depth);
    if (!find_object)
        live.depth = live.depth > 1;
    live.words = live.depth ? 2 : 1;
    live.head->words = live.words;
    struct jaxmem_kind *kinds = NULL;
    if (jaxmem_policy_needs & JAXMEM_NEEDS_HISTORY && !(kinds = zeros(KINDS * sizeof *kinds)))
        return false;
    if (live.depth && (!(live.rules = zeros(RULES * sizeof *live.rules)) ||
                       !(live.sites = zeros(SITES * sizeof *live.sites))))
        return false;
    ssize_t many = readlink("/proc/self/exe", live.program, sizeof live.program - 1);
    live.program[many > 0 ? many : 0] = 0;
    void *memory = jaxmem_policy_memory ? zeros(jaxmem_policy_memory) : NULL;
    if (jaxmem_policy_memory && !memory)
        return false;
    jaxmem_begin(&live.policy, live.head->unit, live.depth > 0, kinds, kinds ? KINDS : 0, memory);
    page->alive = 1;
    process = page;
    return true;
}

/* ---- Call sites ---- */

static void hash_frame(struct hashing *hashing, uintptr_t pc, bool first)
{
    struct object found;
    const char *name = "?";
    uint64_t offset = 0;
    if (find_object && find_object((void *)(pc - 1), &found) == 0) {
        name = found.link_map->l_name && *found.link_map->l_name ? found.link_map->l_name : live.program;
        const char *slash = strrchr(name, '/');
        name = slash ? slash + 1 : name;
        offset = pc - found.link_map->l_addr;
    }
    char text[32];
    int bytes = snprintf(text, sizeof text, "+0x%lx", (unsigned long)offset);
    hash_bytes(hashing, "\n", !first);
    hash_bytes(hashing, name, strlen(name));
    hash_bytes(hashing, text, (size_t)bytes);
}

/* The key of a chain of return addresses; with the lock held. */
static uint64_t key_of_chain(const uintptr_t *chain, uint32_t many)
{
    if (!many)
        return 0;
    uint64_t hash = atomic_load_explicit(&generation, memory_order_relaxed);
    for (uint32_t k = 0; k < many; k++)
        hash = mixed(hash ^ chain[k]) + 0x9e3779b97f4a7c15u;
    hash = mixed(hash) | 1;
    struct site *free_site = NULL;
    for (uint32_t tries = 0; tries < SITE_TRIES && !free_site; tries++) {
        struct site *site = live.sites + ((hash >> 32) + tries) % SITES;
        if (LIKELY(site->chain == hash))
            return site->key;
        if (!site->chain)
            free_site = site;
    }
    struct hashing hashing;
    hash_start(&hashing);
    for (uint32_t k = 0; k < many; k++)
        hash_frame(&hashing, chain[k], k == 0);
    uint64_t key = hash_end(&hashing);
    if (free_site)
        *free_site = (struct site){hash, key};
    return key;
}

/* ---- Blocks that are kept outside the table, with the lock held ---- */

static struct kept_block *kept_at(uintptr_t address)
{
    for (uint64_t at = mixed(address);; at++) {
        struct kept_block *one = live.kept + at % live.kept_room;
        if (one->address == address || !one->address)
            return one;
    }
}

/* Makes sure that one more can be kept; false: there is no memory for it. */
static bool keep_room(void)
{
    if (live.kept_used + 1 <= live.kept_room / 2)
        return true;
    struct kept_block *before = live.kept;
    uint64_t room = live.kept_room, count = 0;
    for (uint64_t k = 0; k < room; k++)
        count += before[k].address > 1;
    uint64_t wanted = room ? (count > room / 4 ? 2 * room : room) : LOG_PAGE;
    struct kept_block *after = zeros(wanted * sizeof *after);
    if (!after)
        return false;
    live.kept = after;
    live.kept_room = wanted;
    live.kept_used = count;
    for (uint64_t k = 0; k < room; k++)
        if (before[k].address > 1)
            *kept_at(before[k].address) = before[k];
    if (before)
        munmap(before, room * sizeof *before);
    return true;
}

static void keep(uintptr_t address, uint64_t request, struct jaxmem_block block)
{
    live.kept_used++;
    *kept_at(address) = (struct kept_block){address, request, block};
}

/* Takes out what is kept of a block; false: nothing is. */
static bool kept_no_more(uintptr_t address, struct kept_block *found)
{
    if (!live.kept_room)
        return false;
    struct kept_block *one = kept_at(address);
    if (one->address != address)
        return false;
    *found = *one;
    one->address = 1;
    return true;
}

/* ---- Placing and freeing ---- */

static inline bool counts_deaths_of_all(void)
{
    return jaxmem_policy_needs & (JAXMEM_NEEDS_HISTORY | JAXMEM_NEEDS_FREES);
}

/* One operation in so many is timed, from before the lock is taken. */
static inline uint64_t timed(void)
{
    return UNLIKELY(++operation % TIMED == 0) ? __rdtsc() : 0;
}

/* What took long was interrupted, and says nothing. */
static inline void timed_until_now(uint64_t from)
{
    if (LIKELY(!from) || !logging())
        return;
    uint64_t took = __rdtsc() - from;
    if (took < INTERRUPTED) {
        live.head->ticks += took;
        live.head->sampled++;
    }
}

static uint32_t place_by_policy(uint64_t key, size_t bytes, struct jaxmem_block *block)
{
    struct table *t = &live.table;
    struct jaxmem_request request;
    struct jaxmem_arena arena = {t->units, t->live_units, t->live_blocks, t->cursor};
    jaxmem_asked(&live.policy, key, bytes, &request, block);
    if (request.planned >= 0 && table_is_free(t, request.size, (uint32_t)request.planned))
        return table_place_inside(t, request.size, (uint32_t)request.planned);
    int fit = jaxmem_fit(&request, &arena);
    if (fit != JAXMEM_BY_HOLES)
        return table_place(t, request.size, fit);
    int64_t start = jaxmem_choose(&request, &arena, t->listed, t->count);
    return start < 0 ? NOWHERE : table_place_at(t, request.size, (uint32_t)start);
}

/* A request that found no hole, and has its block elsewhere. */
struct failed_request {
    bool failed;
    uint64_t request;
    struct jaxmem_block block;
};

/* Places a request, whose block is then counted; NOWHERE, and `failed` is told: no hole is long
 * enough; NO_MEMORY: it is none. With the lock held, and `keep_room` and `enough_numbers` asked.
 *
 * from: as `timed` has it. */
static uint32_t place_request(size_t bytes, uint64_t key, uint64_t from, struct jaxmem_block *block,
                              struct failed_request *failed)
{
    struct table *t = &live.table;
    uint32_t start = place_by_policy(key, bytes, block);
    timed_until_now(from);
    if (UNLIKELY(start >= NO_MEMORY)) {
        if (start == NO_MEMORY) { /* an arena that grows, where no policy counts requests */
            if (logging())
                live.head->refused++;
        } else {
            failed->failed = true;
            failed->request = live.requests++;
            failed->block = *block;
            write_event(FAILED, bytes, key, NOWHERE);
            if (logging()) {
                live.head->failed++;
                live.head->failed_bytes += bytes;
            }
        }
        return start;
    }
    live.requests++;
    write_event(PLACED, bytes, key, start);
    if (logging()) {
        live.head->peak_units = t->peak_units;
        live.head->high_water = t->high_water;
    }
    return start;
}

/* Keeps what the C library has given in place of a hole, or nothing. */
static void *elsewhere(void *block, const struct failed_request *failed)
{
    if (LIKELY(!failed->failed))
        return block;
    bool taken = locked();
    if (block && keep_room()) {
        keep((uintptr_t)block, failed->request, failed->block);
        atomic_fetch_add(&lost_blocks, 1);
    } else { /* it ends at once, as far as the policy knows */
        jaxmem_freed(&live.policy, failed->block);
        write_words(LOST | failed->request << 3, 0);
    }
    unlocked(taken);
    return block;
}

/* Tells that a block of the C library is freed, if it was one that found no hole. */
static void lost_no_more(const void *address)
{
    struct kept_block found;
    bool taken = locked();
    if (kept_no_more((uintptr_t)address, &found)) {
        atomic_fetch_sub(&lost_blocks, 1);
        jaxmem_freed(&live.policy, found.block);
        write_words(LOST | found.request << 3, 0);
    }
    unlocked(taken);
}

/* Frees the block at `start`, which was given out as `address`; with the lock held. */
static void free_request(uint32_t start, uintptr_t address, uint64_t from)
{
    table_free(&live.table, start);
    struct kept_block found = {0};
    if (counts_deaths_of_all())
        kept_no_more(address, &found);
    jaxmem_freed(&live.policy, found.block);
    timed_until_now(from);
    write_event(FREED, 0, 0, start);
}

#endif
