/* Records what a program allocates and frees, from inside it: LD_PRELOAD on Linux with glibc.
 *
 * Each of malloc's functions is called through, and leaves an event of 24 bytes in a log. The log
 * is a file of chunks, each mapped shared and written by one thread at a time, so what has happened
 * is in the file whatever ends the program: nothing is flushed. A chunk of events:
 *
 *     u64 order << 2 | kind    the place among all events of the process, from 1; 0: none yet
 *     u64 address              of the block
 *     u64 size << 24 | site    bytes asked for, up to 2^40; the number of the call site, 0: unknown
 *
 * The order of an allocation is taken after the call and that of a free before it, so that in this
 * order an address is never given out twice. A realloc is two events, the old block's before the
 * call and the new block's after it. A call site is the chain of return addresses above malloc, up
 * to `depth`, each the number of a module and the offset into it. Sites and modules stand in chunks
 * of their own:
 *
 *     u32 site, u32 frames, { u32 module, u32 0, u64 offset } ...
 *     u32 module, u32 bytes of its path, path, zeros up to a multiple of 8
 *
 * The environment says what to do, and programs that this one starts read it too:
 *
 *     JAXMEM_RECORDING   the file; it is made anew
 *     JAXMEM_PROCESS     the process to record; others are left alone, or with JAXMEM_CHILDREN=1
 *                        write FILE.PROCESS
 *     JAXMEM_DEPTH       return addresses of a call site, 0 .. 32
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "preloaded.h"

enum { ALLOCATED, FREED, MOVED_FROM, MOVED_TO };
enum { EVENTS = 1, SITES = 2, MODULES = 3 };
enum { CHUNK = 128 * 1024, HEAD = 16, PAGE = 4096 };
enum { MODULES_MOST = 1024, PATH_MOST = 3000 };
/* The table of call sites has levels: what finds no room in one goes to the next, so that memory
 * grows with the sites and nothing ever moves. */
enum { LEVELS = 4, PROBES = 8, SLOTS = (1 << 12) + (1 << 15) + (1 << 18) + (1 << 21) };
static const uint32_t level_bits[LEVELS] = {12, 15, 18, 21};

struct event {
    _Atomic uint64_t order;
    uint64_t address;
    uint64_t size_and_site;
};

/* The first page of the log. */
struct head {
    char magic[16];
    uint32_t version, event_bytes, chunk_bytes, depth;
    _Atomic uint64_t process;
    _Atomic uint64_t stopped; /* errno of what ended the recording before the program did; 0 */
    _Atomic uint64_t sites_lost;
    char program[PAGE - 64];
};

struct chunk {
    _Atomic uint32_t kind; /* 0: not begun */
    uint32_t unused[3];
    char data[CHUNK - HEAD];
};

struct site {
    _Atomic uint64_t key; /* of its chain of addresses; 0: none, 1: busy */
    _Atomic uint64_t number;
};

struct module {
    uintptr_t start;
    uint64_t name; /* a hash: another one may be loaded where this was */
};

/* What a process has of its own: a child that is forked finds zeros here. */
struct state {
    _Atomic uint64_t alive; /* the process that records; 0: not begun */
    pthread_mutex_t lock;
    char path[PATH_MOST];
    struct head *head;
    uint64_t file_bytes;
    struct chunk *free_chunks[4096]; /* of threads that have ended */
    uint32_t free_at[4096];
    uint32_t free_count;
    struct chunk *sites, *modules;
    uint32_t sites_at, modules_at;
    struct module module[MODULES_MOST];
    uint32_t module_count;
    uint32_t depth;
    _Atomic uint32_t site_count;
    alignas(64) _Atomic uint64_t order;
    alignas(64) struct site site[SLOTS]; /* mapped, not there until it is used */
    struct cached rule[RULES];
};

static struct state *state; /* one mapping, wiped on fork */
static _Atomic int begun;   /* 0: no, 1: by somebody just now, 2: yes, 3: nothing is recorded */

LOCAL_THREAD struct chunk *chunk; /* that this thread writes */
LOCAL_THREAD uint32_t chunk_at;
LOCAL_THREAD uint64_t chunk_of; /* the process that it belongs to */
LOCAL_THREAD bool busy;         /* inside the recorder */
static pthread_key_t ending;
static _Atomic int ending_made;

static void stop(int error)
{
    if (state->head)
        atomic_store(&state->head->stopped, (uint64_t)error);
    atomic_store(&begun, 3);
}

/* A child that is forked has nothing of it. */
static void *own_part(uint64_t at, size_t bytes)
{
    void *part = mapped_part(state->path, at, bytes);
    if (part)
        madvise(part, bytes, MADV_DONTFORK);
    return part;
}

/* With the lock held. */
static struct chunk *new_chunk(uint32_t kind)
{
    struct chunk *new = own_part(state->file_bytes, CHUNK);
    if (!new) {
        stop(errno);
        return NULL;
    }
    state->file_bytes += CHUNK;
    atomic_store(&new->kind, kind);
    return new;
}

static void give_back(void *mine)
{
    (void)mine;
    if (!chunk || !state || chunk_of != atomic_load(&state->alive))
        return;
    bool was = busy;
    busy = true;
    pthread_mutex_lock(&state->lock);
    if (state->free_count < 4096) {
        state->free_chunks[state->free_count] = chunk;
        state->free_at[state->free_count++] = chunk_at;
    }
    chunk = NULL;
    pthread_mutex_unlock(&state->lock);
    busy = was;
}

/* Begins the log of this process, with the lock held; false: there is none to keep. */
static bool begin_log(void)
{
    const char *path = getenv("JAXMEM_RECORDING"), *whose = getenv("JAXMEM_PROCESS");
    const char *children = getenv("JAXMEM_CHILDREN"), *depth = getenv("JAXMEM_DEPTH");
    pid_t me = getpid();
    if (!path || !*path || strlen(path) > PATH_MOST - 32)
        return false;
    bool chosen = !whose || strtoll(whose, NULL, 10) == (long long)me;
    if (!chosen && !(children && strcmp(children, "1") == 0))
        return false;
    if (chosen)
        snprintf(state->path, PATH_MOST, "%s", path);
    else
        snprintf(state->path, PATH_MOST, "%s.%ld", path, (long)me);
    long frames = depth ? strtol(depth, NULL, 10) : 4;
    state->depth = frames < 0 ? 0 : frames > MOST_DEPTH ? MOST_DEPTH : (uint32_t)frames;
    if (!find_object)
        state->depth = state->depth > 1 ? 1 : state->depth;
    unlink(state->path); /* not cut short: a process that has it mapped would be ended */
    int file = open(state->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return false;
    close(file);
    state->head = NULL;
    struct head *head = own_part(0, PAGE);
    if (!head)
        return false;
    state->file_bytes = PAGE;
    head->version = 1;
    head->event_bytes = sizeof(struct event);
    head->chunk_bytes = CHUNK;
    head->depth = state->depth;
    atomic_store(&head->process, (uint64_t)me);
    ssize_t many = readlink("/proc/self/exe", head->program, sizeof head->program - 1);
    head->program[many > 0 ? many : 0] = 0;
    memcpy(head->magic, "jaxmem-preload", 15);
    state->head = head;
    atomic_store(&state->alive, (uint64_t)me);
    return true;
}

/* Begins once for the program, and again in a child that was forked; whether to record. */
static bool begin(void)
{
    int none = 0;
    if (atomic_load(&begun) == 0 && atomic_compare_exchange_strong(&begun, &none, 1)) {
        busy = true;
        resolve();
        void *room = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room != MAP_FAILED && madvise(room, sizeof(struct state), MADV_WIPEONFORK) == 0) {
            state = room;
            pthread_mutex_init(&state->lock, NULL);
            bool made = pthread_key_create(&ending, give_back) == 0;
            atomic_store(&ending_made, made);
            atomic_store(&begun, begin_log() ? 2 : 3);
        } else {
            atomic_store(&begun, 3);
        }
        busy = false;
    }
    if (atomic_load(&begun) != 2)
        return false;
    if (UNLIKELY(atomic_load(&state->alive) == 0)) { /* a child: its page was wiped */
        busy = true;
        static _Atomic uint64_t beginning;
        uint64_t before = atomic_load(&beginning), me = (uint64_t)getpid();
        if (before != me && atomic_compare_exchange_strong(&beginning, &before, me)) {
            pthread_mutex_init(&state->lock, NULL);
            if (!begin_log())
                atomic_store(&begun, 3);
        }
        busy = false;
        return atomic_load(&begun) == 2 && atomic_load(&state->alive) != 0;
    }
    return true;
}

/* ---- Call sites ---- */

/* Room for a record in a chunk of sites or of modules, with the lock held. */
static char *record_room(struct chunk **in, uint32_t *at, uint32_t kind, uint32_t bytes)
{
    if (!*in || *at + bytes > sizeof (*in)->data) {
        struct chunk *full = *in;
        if (!(*in = new_chunk(kind)))
            return NULL;
        if (full)
            munmap(full, CHUNK);
        *at = 0;
    }
    char *room = (*in)->data + *at;
    *at += bytes;
    return room;
}

/* The number of the module at an address, counted from 1, with the lock held; 0: none. */
static uint32_t module_at(uintptr_t pc, uintptr_t *base)
{
    struct object found;
    if (!find_object || find_object((void *)pc, &found) != 0)
        return 0;
    *base = found.link_map->l_addr;
    uintptr_t start = (uintptr_t)found.map_start;
    const char *path = found.link_map->l_name;
    path = path && *path ? path : state->head->program;
    uint64_t name = 0;
    for (const char *at = path; *at; at++)
        name = mixed(name ^ (uint8_t)*at);
    for (uint32_t k = 0; k < state->module_count; k++)
        if (state->module[k].start == start && state->module[k].name == name)
            return k + 1;
    if (state->module_count == MODULES_MOST)
        return 0;
    uint32_t bytes = (uint32_t)strnlen(path, PATH_MAX), room = 8 + ((bytes + 7) & ~7u);
    char *record = record_room(&state->modules, &state->modules_at, MODULES, room);
    if (!record)
        return 0;
    state->module[state->module_count].start = start;
    state->module[state->module_count++].name = name;
    memcpy(record + 8, path, bytes);
    memcpy(record + 4, &bytes, 4);
    memcpy(record, &state->module_count, 4);
    return state->module_count;
}

/* Writes a call site down, and returns its number; 0: there are too many. */
static uint32_t new_site(const uintptr_t *chain, uint32_t many)
{
    uint32_t number = 0;
    int error = errno;
    pthread_mutex_lock(&state->lock);
    if (atomic_load(&state->site_count) < (1 << 24) - 1) {
        struct { uint32_t module, unused; uint64_t offset; } frame[MOST_DEPTH];
        for (uint32_t k = 0; k < many; k++) {
            uintptr_t base = 0;
            frame[k].module = module_at(chain[k] - 1, &base);
            frame[k].unused = 0;
            frame[k].offset = frame[k].module ? chain[k] - base : 0;
        }
        char *record = record_room(&state->sites, &state->sites_at, SITES, 8 + 16 * many);
        if (record) {
            number = atomic_fetch_add(&state->site_count, 1) + 1;
            memcpy(record + 8, frame, 16 * many);
            memcpy(record + 4, &many, 4);
            memcpy(record, &number, 4);
        }
    } else {
        atomic_fetch_add(&state->head->sites_lost, 1);
    }
    pthread_mutex_unlock(&state->lock);
    errno = error;
    return number;
}

static uint32_t site_of(const uintptr_t *chain, uint32_t many)
{
    if (!many)
        return 0;
    uint64_t key = atomic_load_explicit(&generation, memory_order_relaxed);
    for (uint32_t k = 0; k < many; k++)
        key = mixed(key ^ chain[k]) + 0x9e3779b97f4a7c15u;
    key = mixed(key) | 2; /* neither none nor busy */
    struct site *level = state->site;
    for (int k = 0; k < LEVELS; level += 1 << level_bits[k++]) {
        uint64_t place = key >> (64 - level_bits[k]), mask = ((uint64_t)1 << level_bits[k]) - 1;
        for (int tries = 0; tries < PROBES; tries++) {
            struct site *slot = level + ((place + tries) & mask);
            uint64_t found = atomic_load_explicit(&slot->key, memory_order_acquire);
            if (found == 0 && atomic_compare_exchange_strong(&slot->key, &found, 1)) {
                uint32_t number = new_site(chain, many);
                atomic_store_explicit(&slot->number, number, memory_order_relaxed);
                atomic_store_explicit(&slot->key, key, memory_order_release);
                return number;
            }
            while (found == 1) /* perhaps the same, written down by another thread just now */
                found = atomic_load_explicit(&slot->key, memory_order_acquire);
            if (LIKELY(found == key))
                return (uint32_t)atomic_load_explicit(&slot->number, memory_order_relaxed);
        }
    }
    atomic_fetch_add(&state->head->sites_lost, 1);
    return 0;
}

/* ---- Events ---- */

static bool new_event_chunk(void)
{
    int error = errno;
    uint64_t me = atomic_load(&state->alive);
    struct chunk *full = chunk_of == me ? chunk : NULL;
    chunk = NULL;
    pthread_mutex_lock(&state->lock);
    if (!full && state->free_count) {
        chunk = state->free_chunks[--state->free_count];
        chunk_at = state->free_at[state->free_count];
    } else if ((chunk = new_chunk(EVENTS))) {
        chunk_at = 0;
    }
    pthread_mutex_unlock(&state->lock);
    if (full)
        munmap(full, CHUNK);
    chunk_of = me;
    if (chunk && !full && atomic_load(&ending_made))
        pthread_setspecific(ending, chunk);
    errno = error;
    return chunk != NULL;
}

static uint64_t next_order(void)
{
    return atomic_fetch_add_explicit(&state->order, 1, memory_order_relaxed) + 1;
}

static void write_event(uint64_t order, uint64_t kind, const void *address, size_t size,
                        uint32_t site)
{
    /* The two events of a realloc stand side by side, which tells that they belong together. */
    uint32_t room = kind == MOVED_FROM ? 2 * sizeof(struct event) : sizeof(struct event);
    if (UNLIKELY(!chunk || chunk_of != atomic_load_explicit(&state->alive, memory_order_relaxed) ||
                 chunk_at + room > sizeof chunk->data))
        if (!new_event_chunk())
            return;
    struct event *event = (struct event *)(chunk->data + chunk_at);
    chunk_at += sizeof *event;
    event->address = (uintptr_t)address;
    size = size < (size_t)1 << 40 ? size : ((size_t)1 << 40) - 1;
    event->size_and_site = (uint64_t)size << 24 | (site & 0xffffff);
    atomic_store_explicit(&event->order, order << 2 | kind, memory_order_release);
}

/* The number of the call site; as UNWOUND. */
#define SITE()                                                                                     \
    ({                                                                                             \
        uintptr_t chain_[MOST_DEPTH];                                                              \
        site_of(chain_, UNWOUND(state->rule, state->depth, chain_));                               \
    })

/* Whether this call is the program's own and is recorded. */
static inline bool recording(void)
{
    if (UNLIKELY(busy))
        return false;
    int now = atomic_load_explicit(&begun, memory_order_acquire);
    if (LIKELY(now == 2 && atomic_load_explicit(&state->alive, memory_order_relaxed)))
        return true;
    return now < 3 && begin();
}

IN_FRAME void *recorded(void *block, size_t size)
{
    if (block) {
        busy = true;
        uint32_t site = SITE();
        write_event(next_order(), ALLOCATED, block, size, site);
        busy = false;
    }
    return block;
}

PUBLIC void *malloc(size_t size)
{
    bool record = recording();
    if (UNLIKELY(!real_malloc))
        return from_pool(size);
    void *block = real_malloc(size);
    return record ? recorded(block, size) : block;
}

PUBLIC void *calloc(size_t many, size_t each)
{
    bool record = recording();
    if (UNLIKELY(!real_calloc)) {
        size_t bytes;
        return __builtin_mul_overflow(many, each, &bytes) ? NULL : from_pool(bytes);
    }
    void *block = real_calloc(many, each);
    return record ? recorded(block, many * each) : block;
}

PUBLIC void free(void *block)
{
    if (!block || UNLIKELY(in_pool(block)))
        return;
    if (recording()) {
        busy = true;
        write_event(next_order(), FREED, block, 0, 0);
        busy = false;
    }
    if (LIKELY(real_free != NULL)) {
        int before = errno;
        real_free(block);
        errno = before;
    }
}

static void *moved_from_pool(void *block, size_t size)
{
    void *new = real_malloc ? real_malloc(size) : from_pool(size);
    size_t there = (size_t)(pool + sizeof pool - (char *)block);
    if (new)
        memcpy(new, block, size < there ? size : there);
    return new;
}

IN_FRAME void *reallocated(void *block, size_t size)
{
    bool record = recording();
    if (UNLIKELY(in_pool(block)))
        return moved_from_pool(block, size);
    if (UNLIKELY(!real_realloc))
        return block ? NULL : from_pool(size);
    if (!record)
        return real_realloc(block, size);
    if (!block)
        return recorded(real_realloc(NULL, size), size);
    busy = true;
    uint32_t site = SITE();
    write_event(next_order(), MOVED_FROM, block, size, 0);
    void *new = real_realloc(block, size);
    int error = errno;
    if (new || size) /* with no new block the old one is there still */
        write_event(next_order(), MOVED_TO, new, size, site);
    busy = false;
    errno = error;
    return new;
}

PUBLIC void *realloc(void *block, size_t size)
{
    return reallocated(block, size);
}

PUBLIC void *reallocarray(void *block, size_t many, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(many, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    return reallocated(block, size);
}

PUBLIC int posix_memalign(void **where, size_t alignment, size_t size)
{
    bool record = recording();
    if (UNLIKELY(!real_posix_memalign))
        return ENOMEM;
    int error = real_posix_memalign(where, alignment, size);
    if (record && !error)
        recorded(*where, size);
    return error;
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
    bool record = recording();
    if (UNLIKELY(!real_aligned_alloc))
        return NULL;
    void *block = real_aligned_alloc(alignment, size);
    return record ? recorded(block, size) : block;
}

PUBLIC void *memalign(size_t alignment, size_t size)
{
    bool record = recording();
    if (UNLIKELY(!real_memalign))
        return NULL;
    void *block = real_memalign(alignment, size);
    return record ? recorded(block, size) : block;
}

/* What is loaded next may lie where this was: what is known of its addresses is forgotten. */
PUBLIC int dlclose(void *handle)
{
    atomic_fetch_add(&generation, 1);
    recording();
    return real_dlclose ? real_dlclose(handle) : -1;
}

__attribute__((constructor)) static void at_start(void)
{
    recording();
}
