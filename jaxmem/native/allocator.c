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
#include "live_arena.h"
#include "preloaded.h"

enum { ALWAYS_ALIGNED = 16 }; /* bytes, of what no alignment is asked for */
#define MOST_RESERVED ((size_t)32 << 30)

static _Atomic int begun;            /* 0: no, 1: by somebody just now, 2: yes, 3: nothing is placed */
static size_t least, least_aligned;  /* bytes; before it has begun, any */
static uintptr_t arena_low, arena_bytes;
LOCAL_THREAD bool busy;              /* it is just beginning */

static inline bool in_arena(const void *block)
{
    return (uintptr_t)block - arena_low < arena_bytes;
}

/* ---- Forks ---- */

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

/* ---- Beginning ---- */

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
        const char *whose = getenv("JAXMEM_PROCESS");
        bool plays = whose && strtoll(whose, NULL, 10) == (long long)getpid() &&
                     begin_log(getenv("JAXMEM_LIVE"));
        if (plays) {
            live.head->own_malloc = others_malloc();
            plays = begin_arena() && begin_policy(number_of("JAXMEM_DEPTH", 0)) &&
                    pthread_atfork(before_fork, after_fork, in_child) == 0;
            if (!plays) {
                live.head->no_arena = (uint64_t)(errno ? errno : ENOMEM);
                arena_bytes = 0;
                process = NULL;
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

/* Places a block; NULL: the C library has to give one, and `failed` says whether it was a request.
 *
 * alignment: above that of a unit, or any below.
 * chain: of `many` return addresses. */
static void *place(size_t size, size_t alignment, bool clear, const uintptr_t *chain, uint32_t many,
                   struct failed_request *failed)
{
    struct table *t = &live.table;
    size_t unit = (size_t)1 << t->shift, more = alignment > unit ? alignment - unit : 0;
    size_t bytes = (size ? size : 1) + more; /* what is aligned lies in it */
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
    uint32_t start = place_request(bytes, key, from, &block, failed);
    if (UNLIKELY(start >= NO_MEMORY)) {
        unlocked(taken);
        return NULL;
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

static void free_placed(const char *address, const char *call)
{
    struct table *t = &live.table;
    uint64_t from = timed();
    bool taken = locked();
    uint32_t start = table_block(t, address, call);
    free_request(start, (uintptr_t)address, from);
    uint32_t at = (uint32_t)((size_t)(address - t->memory) >> t->shift);
    if (at != start)
        clear_bit(t->inner, at);
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
