/* Places the blocks of a program by a policy, from inside it: LD_PRELOAD on Linux with glibc.
 *
 * Blocks of at least `least` bytes lie in one arena, whose holes the table knows; the policy says
 * which of them a block takes. The others are the C library's, and so is what finds no hole in an
 * arena that is bounded. One lock is held while a block is placed or freed.
 *
 * As a simulator has it: a realloc is a new block, then the end of the old one; an alignment above
 * that of a unit takes as much more as it may need; zero bytes take a unit. All that is placed is
 * logged, so that it can be played again.
 *
 * The environment says what to do:
 *
 *     JAXMEM_LIVE        the log; it is made anew
 *     JAXMEM_PROCESS     the process that is played; others, which it starts, are left alone. One
 *                        that it forks goes on in its own copy of the arena, and logs nothing
 *     JAXMEM_ARENA       units of the arena, 0: it grows
 *     JAXMEM_UNIT        bytes, a power of two from 16 to 4096
 *     JAXMEM_LEAST       bytes of the smallest request that is placed
 *     JAXMEM_ALIGNED     bytes of the smallest alignment of a request that is placed; 0: any
 *     JAXMEM_DEPTH       return addresses of a call site, 0 .. 32
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <time.h>
#include <x86intrin.h>

#include "table.c"
#include "preloaded.h"
#include "site_key.h"
#include "live_log.h"
#include "jaxmem_policy.c" /* of the policy that is played */

enum { PATH_MOST = 3000, SITES = 1 << 20, SITE_TRIES = 16, KINDS = 1 << 20 };
enum { ALWAYS_ALIGNED = 16 }; /* bytes, of what no alignment is asked for */
enum { TIMED = 64, INTERRUPTED = 30000 }; /* operations; ticks, of about 10 us */
#define MOST_RESERVED ((size_t)32 << 30)

struct site {
    uint64_t chain, key; /* chain 0: none is here */
};

/* What is kept of a block outside the table: where the policy counts what dies, of all, else of those
 * that went to the C library. */
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
static _Atomic int begun;            /* 0: no, 1: by somebody just now, 2: yes, 3: nothing is placed */
static _Atomic int lock;             /* 0: free, 1: held, 2: waited for */
static _Atomic uint64_t lost_blocks; /* live, that went to the C library */
static size_t least, least_aligned;  /* bytes; before it has begun, any */
static uintptr_t arena_low, arena_bytes;
LOCAL_THREAD bool busy;              /* it is just beginning */
LOCAL_THREAD uint32_t operation;

static inline bool in_arena(const void *block)
{
    return (uintptr_t)block - arena_low < arena_bytes;
}

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

static bool taken_for_fork;

static void before_fork(void)
{
    taken_for_fork = locked();
}

static void after_fork(void)
{
    unlocked(taken_for_fork);
}

static void in_child(void)
{
    atomic_store(&lock, 0);
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

/* Begins the log of this process; false: this one is not to be played. */
static bool begin_log(void)
{
    const char *path = getenv("JAXMEM_LIVE"), *whose = getenv("JAXMEM_PROCESS");
    if (!path || !*path || strlen(path) > PATH_MOST - 1 || !whose ||
        strtoll(whose, NULL, 10) != (long long)getpid())
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

/* An arena with as many addresses as the system grants, of those that it may need. */
static bool begin_arena(void)
{
    uint32_t shift = (uint32_t)__builtin_ctzll(number_of("JAXMEM_UNIT", 16));
    uint64_t units = number_of("JAXMEM_ARENA", 0);
    live.head->unit = 1u << shift;
    uint64_t limit = units ? units : MOST_RESERVED >> shift;
    limit = limit < MOST_UNITS ? limit : MOST_UNITS;
    struct rlimit most;
    if (!units && getrlimit(RLIMIT_AS, &most) == 0 && most.rlim_cur != RLIM_INFINITY)
        while (limit > 1 << 16 && table_bytes((uint32_t)limit, shift) > most.rlim_cur / 2)
            limit /= 2; /* the C library needs addresses too */
    char *room;
    while ((room = mmap(NULL, table_bytes((uint32_t)limit, shift), PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) == MAP_FAILED) {
        if (units || limit < 1 << 16)
            return false;
        limit /= 2;
    }
    if (!table_begin(&live.table, room, (uint32_t)limit, (uint32_t)units, shift, KEPT))
        return false;
    arena_low = (uintptr_t)room;
    arena_bytes = (size_t)limit << shift;
    return true;
}

static bool begin_policy(void)
{
    live.depth = (uint32_t)number_of("JAXMEM_DEPTH", 0);
    live.depth = live.depth > MOST_DEPTH ? MOST_DEPTH : live.depth;
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
    jaxmem_begin(&live.policy, live.head->unit, live.depth > 0, kinds, kinds ? KINDS : 0);
    return true;
}

/* Whether what calls malloc calls another one than ours, that of the program itself. */
static bool others_malloc(void)
{
    void *program = dlopen(NULL, RTLD_LAZY); /* RTLD_DEFAULT would begin with this library */
    return program && dlsym(program, "malloc") != (void *)malloc;
}

/* Begins once for the program; whether blocks are placed. */
static bool begin(void)
{
    int none = 0;
    if (atomic_load(&begun) == 0 && atomic_compare_exchange_strong(&begun, &none, 1)) {
        busy = true;
        resolve();
        bool plays = begin_log();
        if (plays) {
            live.head->own_malloc = others_malloc();
            struct process *page = zeros(LOG_PAGE);
            plays = page && madvise(page, LOG_PAGE, MADV_WIPEONFORK) == 0 && begin_arena() &&
                    begin_policy() && pthread_atfork(before_fork, after_fork, in_child) == 0;
            if (plays) {
                page->alive = 1;
                process = page;
            } else {
                live.head->no_arena = (uint64_t)(errno ? errno : ENOMEM);
                arena_bytes = 0;
            }
        }
        least = plays ? number_of("JAXMEM_LEAST", 0) : SIZE_MAX;
        least_aligned = number_of("JAXMEM_ALIGNED", 0);
        atomic_store(&begun, plays ? 2 : 3);
        busy = false;
    }
    return atomic_load(&begun) == 2;
}

/* Whether blocks are placed, from now on. */
static inline bool playing(void)
{
    return LIKELY(atomic_load_explicit(&begun, memory_order_acquire) == 2) || (!busy && begin());
}

/* Whether a request is placed; what it asks is asked before it has begun, and again after. */
static inline bool played(size_t size, size_t alignment)
{
    return size >= least && alignment >= least_aligned && playing() && size >= least &&
           alignment >= least_aligned;
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
    return jaxmem_policy_needs & JAXMEM_NEEDS_HISTORY;
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

/* Places a block; NULL: the C library has to give one, and `failed` says whether it was a request.
 *
 * alignment: above that of a unit, or any below.
 * chain: of `many` return addresses. */
static void *place(size_t size, size_t alignment, bool clear, const uintptr_t *chain, uint32_t many,
                   struct failed_request *failed)
{
    struct table *t = &live.table;
    size_t unit = (size_t)1 << t->shift, more = alignment > unit ? alignment - unit : 0;
    size_t bytes = size + more ? size + more : 1;
    uint64_t from = timed();
    bool taken = locked();
    if (size > (size_t)MOST_UNITS << t->shift || more > (size_t)MOST_UNITS << t->shift ||
        (bytes + unit - 1) >> t->shift > t->limit || !keep_room() || !enough_numbers(t)) {
        if (logging())
            live.head->refused++;
        unlocked(taken);
        return NULL;
    }
    uint64_t key = key_of_chain(chain, many);
    struct jaxmem_block block;
    uint32_t start = place_by_policy(key, bytes, &block);
    timed_until_now(from);
    if (UNLIKELY(start >= NO_MEMORY)) {
        if (start == NO_MEMORY) { /* an arena that grows, where no policy counts requests */
            if (logging())
                live.head->refused++;
        } else {
            failed->failed = true;
            failed->request = live.requests++;
            failed->block = block;
            write_event(FAILED, bytes, key, NOWHERE);
            if (logging()) {
                live.head->failed++;
                live.head->failed_bytes += bytes;
            }
        }
        unlocked(taken);
        return NULL;
    }
    live.requests++;
    write_event(PLACED, bytes, key, start);
    if (logging()) {
        live.head->peak_units = t->peak_units;
        live.head->high_water = t->high_water;
    }
    char *memory = t->memory + ((size_t)start << t->shift), *given = memory;
    if (more) {
        given = (char *)(((uintptr_t)memory + alignment - 1) & ~(uintptr_t)(alignment - 1));
        if (given != memory)
            set_bit(t->inner, (uint32_t)((size_t)(given - t->memory) >> t->shift));
    }
    if (counts_deaths_of_all())
        keep((uintptr_t)given, live.requests - 1, block);
    uint64_t clean_low = t->clean_low, clean_high = t->clean_high;
    unlocked(taken);
    if (clear) {
        char *end = given + size, *low = t->memory + clean_low, *high = t->memory + clean_high;
        if (low >= high) {
            memset(given, 0, size);
        } else {
            if (given < low)
                memset(given, 0, (size_t)((low < end ? low : end) - given));
            char *from_here = high > given ? high : given;
            if (from_here < end)
                memset(from_here, 0, (size_t)(end - from_here));
        }
    }
    return given;
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

static void free_placed(const char *address, const char *call)
{
    struct table *t = &live.table;
    uint64_t from = timed();
    bool taken = locked();
    uint32_t start = table_block(t, address, call);
    table_free(t, start);
    struct kept_block found = {0};
    if (counts_deaths_of_all())
        kept_no_more((uintptr_t)address, &found);
    jaxmem_freed(&live.policy, found.block);
    timed_until_now(from);
    uint32_t at = (uint32_t)((size_t)(address - t->memory) >> t->shift);
    if (at != start)
        clear_bit(t->inner, at);
    write_event(FREED, 0, 0, start);
    unlocked(taken);
}

/* Bytes of a block of the arena, from an address that was given out. */
static size_t placed_bytes(const char *address, const char *call)
{
    bool taken = locked();
    uint32_t end = table_end(&live.table, table_block(&live.table, address, call));
    unlocked(taken);
    return (size_t)(live.table.memory + ((size_t)end << live.table.shift) - address);
}

/* Where a block is placed, if any is to be: NULL, or `failed` is told. In the caller's frame. */
#define PLACE(size, alignment, clear, failed)                                                      \
    ({                                                                                             \
        uintptr_t chain_[MOST_DEPTH];                                                              \
        uint32_t many_ = live.depth ? UNWOUND(live.rules, live.depth, chain_) : 0;                 \
        place(size, alignment, clear, chain_, many_, failed);                                      \
    })

PUBLIC void *malloc(size_t size)
{
    struct failed_request failed = {0};
    if (played(size, ALWAYS_ALIGNED)) {
        void *block = PLACE(size, 0, false, &failed);
        if (LIKELY(block != NULL))
            return block;
    }
    return elsewhere(real_malloc ? real_malloc(size) : from_pool(size), &failed);
}

PUBLIC void *calloc(size_t many, size_t each)
{
    struct failed_request failed = {0};
    size_t size;
    if (__builtin_mul_overflow(many, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    if (played(size, ALWAYS_ALIGNED)) {
        void *block = PLACE(size, 0, true, &failed);
        if (LIKELY(block != NULL))
            return block;
    }
    return elsewhere(real_calloc ? real_calloc(many, each) : from_pool(size), &failed);
}

PUBLIC void free(void *block)
{
    if (!block || UNLIKELY(in_pool(block)))
        return;
    if (in_arena(block)) {
        free_placed(block, "free");
        return;
    }
    if (UNLIKELY(atomic_load_explicit(&lost_blocks, memory_order_relaxed) != 0))
        lost_no_more(block);
    if (LIKELY(real_free != NULL))
        real_free(block);
}

static bool is_lost(const void *block)
{
    if (LIKELY(!atomic_load_explicit(&lost_blocks, memory_order_relaxed)))
        return false;
    bool taken = locked();
    bool found = kept_at((uintptr_t)block)->address == (uintptr_t)block;
    unlocked(taken);
    return found;
}

IN_FRAME void *resized(void *block, size_t size)
{
    struct failed_request failed = {0};
    bool ours = played(size, ALWAYS_ALIGNED), placed = block && in_arena(block);
    if (block && !placed && !in_pool(block) && !ours && !is_lost(block))
        return real_realloc(block, size);
    if (block && !size) {
        free(block);
        return NULL;
    }
    size_t before = 0;
    if (placed)
        before = placed_bytes(block, "realloc");
    else if (block && in_pool(block))
        before = (size_t)(pool + sizeof pool - (char *)block);
    else if (block)
        before = real_usable(block);
    void *new = ours ? PLACE(size, 0, false, &failed) : NULL;
    if (!new)
        new = elsewhere(real_malloc ? real_malloc(size) : from_pool(size), &failed);
    if (new && block) {
        memcpy(new, block, size < before ? size : before);
        free(block);
    }
    return new;
}

PUBLIC void *realloc(void *block, size_t size)
{
    return resized(block, size);
}

PUBLIC void *reallocarray(void *block, size_t many, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(many, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    return resized(block, size);
}

static inline bool is_power_of_two(size_t of)
{
    return of && !(of & (of - 1));
}

PUBLIC int posix_memalign(void **where, size_t alignment, size_t size)
{
    struct failed_request failed = {0};
    if (!is_power_of_two(alignment) || alignment % sizeof(void *))
        return EINVAL;
    if (played(size, alignment)) {
        void *block = PLACE(size, alignment, false, &failed);
        if (LIKELY(block != NULL)) {
            *where = block;
            return 0;
        }
    }
    if (!real_posix_memalign)
        return ENOMEM;
    int error = real_posix_memalign(where, alignment, size);
    elsewhere(error ? NULL : *where, &failed);
    return error;
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
    struct failed_request failed = {0};
    if (is_power_of_two(alignment) && played(size, alignment)) {
        void *block = PLACE(size, alignment, false, &failed);
        if (LIKELY(block != NULL))
            return block;
    }
    return elsewhere(real_aligned_alloc ? real_aligned_alloc(alignment, size) : NULL, &failed);
}

PUBLIC void *memalign(size_t alignment, size_t size)
{
    struct failed_request failed = {0};
    if (is_power_of_two(alignment) && played(size, alignment)) {
        void *block = PLACE(size, alignment, false, &failed);
        if (LIKELY(block != NULL))
            return block;
    }
    return elsewhere(real_memalign ? real_memalign(alignment, size) : NULL, &failed);
}

PUBLIC void *valloc(size_t size)
{
    struct failed_request failed = {0};
    if (played(size, LOG_PAGE)) {
        void *block = PLACE(size, (size_t)LOG_PAGE, false, &failed);
        if (LIKELY(block != NULL))
            return block;
    }
    return elsewhere(real_memalign ? real_memalign(LOG_PAGE, size) : NULL, &failed);
}

PUBLIC size_t malloc_usable_size(void *block)
{
    if (!block)
        return 0;
    if (in_arena(block))
        return placed_bytes(block, "malloc_usable_size");
    if (in_pool(block))
        return 0;
    return real_usable ? real_usable(block) : 0;
}

/* What is loaded next may lie where this was: what is known of its addresses is forgotten. */
PUBLIC int dlclose(void *handle)
{
    atomic_fetch_add(&generation, 1);
    return real_dlclose ? real_dlclose(handle) : -1;
}

__attribute__((constructor)) static void at_start(void)
{
    playing();
}

__attribute__((destructor)) static void at_end(void)
{
    if (atomic_load(&begun) == 2 && logging())
        see_memory();
}
