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
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__linux__) || !defined(__GLIBC__)
#error "the recorder is for Linux with glibc on x86-64"
#endif

#define PUBLIC __attribute__((visibility("default")))
#define LOCAL_THREAD static __thread __attribute__((tls_model("initial-exec")))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { ALLOCATED, FREED, MOVED_FROM, MOVED_TO };
enum { EVENTS = 1, SITES = 2, MODULES = 3 };
enum { CHUNK = 128 * 1024, HEAD = 16, MOST_DEPTH = 32, PAGE = 4096 };
enum { RULES = 1 << 16, MODULES_MOST = 1024, PATH_MOST = 3000 };
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

/* How the caller's frame is found from an address within a function (DWARF's call frame
 * information): the canonical frame address is a register and an offset, or what stands there. */
struct rule {
    int32_t cfa_offset;
    int16_t rbp_at; /* from the canonical frame address; 0: the caller has the same */
    int8_t base;    /* RSP, RBP, or AT_RBP: what stands at rbp + offset */
    int8_t known;
};
enum { END = 0, RSP = 1, RBP = 2, AT_RBP = 3 };

struct cached {
    _Atomic uint64_t key; /* the address, with the generation of loaded modules above it; 1: busy */
    struct rule rule;
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
static _Atomic uint64_t generation = 1;

LOCAL_THREAD struct chunk *chunk; /* that this thread writes */
LOCAL_THREAD uint32_t chunk_at;
LOCAL_THREAD uint64_t chunk_of; /* the process that it belongs to */
LOCAL_THREAD bool busy;         /* inside the recorder */
static pthread_key_t ending;
static _Atomic int ending_made;

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void *(*real_memalign)(size_t, size_t);
static int (*real_dlclose)(void *);
struct dl_find_object;
static int (*find_object)(void *, struct dl_find_object *);

/* Until the real functions are known: dlsym itself may call calloc. */
static alignas(16) char pool[64 * 1024];
static _Atomic size_t pool_used;

static void *from_pool(size_t bytes)
{
    size_t at = atomic_fetch_add(&pool_used, (bytes + 15) & ~(size_t)15);
    return at + bytes <= sizeof pool ? pool + at : NULL;
}

static bool in_pool(const void *block)
{
    return (const char *)block >= pool && (const char *)block < pool + sizeof pool;
}

static void stop(int error)
{
    if (state->head)
        atomic_store(&state->head->stopped, (uint64_t)error);
    atomic_store(&begun, 3);
}

/* The file is opened for a moment only: programs close what they do not know. */
static void *mapped_part(uint64_t at, size_t bytes)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur < at + bytes) {
        errno = EFBIG; /* the kernel would send a signal */
        return NULL;
    }
    int file = open(state->path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return NULL;
    void *part = NULL;
    int error = posix_fallocate(file, (off_t)at, (off_t)bytes);
    if (error == 0) {
        part = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, (off_t)at);
        error = part == MAP_FAILED ? errno : 0;
    }
    close(file);
    if (error) {
        errno = error;
        return NULL;
    }
    madvise(part, bytes, MADV_DONTFORK);
    return part;
}

/* With the lock held. */
static struct chunk *new_chunk(uint32_t kind)
{
    struct chunk *new = mapped_part(state->file_bytes, CHUNK);
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
    struct head *head = mapped_part(0, PAGE);
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

static void resolve(void)
{
    real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    real_posix_memalign = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
    real_aligned_alloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
    real_memalign = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
    real_dlclose = (int (*)(void *))dlsym(RTLD_NEXT, "dlclose");
    find_object = (int (*)(void *, struct dl_find_object *))dlsym(RTLD_NEXT, "_dl_find_object");
    real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
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

/* As in <dlfcn.h> of glibc 2.35 and later, which older headers lack. */
struct dl_find_object_like {
    unsigned long long flags;
    void *map_start, *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

static uint64_t uleb(const uint8_t **at)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128))
            return value;
    }
}

static int64_t sleb(const uint8_t **at)
{
    int64_t value = 0;
    int shift = 0;
    uint8_t byte;
    do {
        byte = *(*at)++;
        if (shift < 64)
            value |= (int64_t)((uint64_t)(byte & 127) << shift);
        shift += 7;
    } while (byte & 128);
    if (shift < 64 && (byte & 64))
        value |= -(int64_t)((uint64_t)1 << shift);
    return value;
}

static uint32_t u32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

static uint64_t u64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

/* A pointer of an FDE, in the encodings that x86-64 compilers use; false: another one. */
static bool pointer_at(const uint8_t **at, uint8_t encoding, uintptr_t *value)
{
    uintptr_t here = (uintptr_t)*at;
    switch (encoding & 15) {
    case 0: case 4: case 12: *value = u64(*at); *at += 8; break;
    case 3: *value = u32(*at); *at += 4; break;
    case 11: *value = (uintptr_t)(int64_t)(int32_t)u32(*at); *at += 4; break;
    default: return false;
    }
    if ((encoding & 112) == 16)
        *value += here;
    return (encoding & 112) == 0 || (encoding & 112) == 16;
}

struct frame_state {
    struct rule rule;
    int ra_at;
    bool lost; /* a rule that is not understood */
};

/* Runs instructions of a CIE or an FDE up to the address `pc`. */
static void run_instructions(const uint8_t *at, const uint8_t *end, uintptr_t location,
                             uintptr_t pc, uint64_t code_align, int64_t data_align,
                             const struct frame_state *first, struct frame_state *now)
{
    struct frame_state stack[8];
    int depth = 0;
    while (at < end && location <= pc) {
        uint8_t op = *at++;
        uint64_t reg;
        int64_t offset;
        switch (op & 192) {
        case 64:
            location += (op & 63) * code_align;
            continue;
        case 128:
            reg = op & 63;
            offset = (int64_t)uleb(&at) * data_align;
            goto saved;
        case 192:
            reg = op & 63;
            goto restored;
        }
        switch (op) {
        case 0x00: break;
        case 0x01: location = u64(at); at += 8; break;
        case 0x02: location += *at++ * code_align; break;
        case 0x03: location += (uint64_t)(at[0] | at[1] << 8) * code_align; at += 2; break;
        case 0x04: location += (uint64_t)u32(at) * code_align; at += 4; break;
        case 0x05: reg = uleb(&at); offset = (int64_t)uleb(&at) * data_align; goto saved;
        case 0x11: reg = uleb(&at); offset = sleb(&at) * data_align; goto saved;
        case 0x06: reg = uleb(&at); goto restored;
        case 0x07: reg = uleb(&at); if (reg == 16) now->ra_at = 0; break;
        case 0x08: reg = uleb(&at); if (reg == 6) now->rule.rbp_at = 0; break;
        case 0x09: reg = uleb(&at); uleb(&at); if (reg == 6 || reg == 16) now->lost = true; break;
        case 0x0a: if (depth < 8) stack[depth++] = *now; else now->lost = true; break;
        case 0x0b: if (depth > 0) { *now = stack[--depth]; } else now->lost = true; break;
        case 0x0c: case 0x12:
            reg = uleb(&at);
            offset = op == 0x0c ? (int64_t)uleb(&at) : sleb(&at) * data_align;
            now->rule.base = reg == 7 ? RSP : reg == 6 ? RBP : END;
            now->rule.cfa_offset = (int32_t)offset;
            break;
        case 0x0d:
            reg = uleb(&at);
            now->rule.base = reg == 7 ? RSP : reg == 6 ? RBP : END;
            break;
        case 0x0e: now->rule.cfa_offset = (int32_t)uleb(&at); break;
        case 0x13: now->rule.cfa_offset = (int32_t)(sleb(&at) * data_align); break;
        case 0x0f: {
            /* A realigned stack: the address stands at rbp + offset (DW_OP_breg6 n, deref). */
            uint64_t bytes = uleb(&at);
            const uint8_t *inside = at;
            at += bytes;
            now->rule.base = END;
            if (bytes >= 3 && inside[0] == 0x76) {
                inside++;
                int64_t n = sleb(&inside);
                if (inside + 1 == at && inside[0] == 0x06) {
                    now->rule.base = AT_RBP;
                    now->rule.cfa_offset = (int32_t)n;
                }
            }
            break;
        }
        case 0x10: case 0x16: {
            reg = uleb(&at);
            uint64_t bytes = uleb(&at);
            const uint8_t *inside = at;
            at += bytes;
            /* A realigned stack saves rbp at rbp itself (DW_OP_breg6 0): told by a mark. */
            if (reg == 6 && op == 0x10 && bytes == 2 && inside[0] == 0x76 && inside[1] == 0)
                now->rule.rbp_at = INT16_MAX;
            else if (reg == 6 || reg == 16)
                now->lost = true;
            break;
        }
        case 0x14: case 0x15: uleb(&at); op == 0x14 ? (void)uleb(&at) : (void)sleb(&at); break;
        case 0x2e: uleb(&at); break; /* DW_CFA_GNU_args_size */
        case 0x2d: break;
        case 0x2f: reg = uleb(&at); offset = -(int64_t)uleb(&at) * data_align; goto saved;
        default: now->lost = true; return;
        }
        continue;
    saved:
        if (reg == 6) {
            if (offset >= INT16_MAX || offset <= INT16_MIN) now->lost = true;
            now->rule.rbp_at = (int16_t)offset;
        }
        if (reg == 16)
            now->ra_at = (int)offset;
        continue;
    restored:
        if (reg == 6) now->rule.rbp_at = first->rule.rbp_at;
        if (reg == 16) now->ra_at = first->ra_at;
    }
}

/* The rule at an address, from the tables that compilers leave for exceptions. */
static struct rule rule_at(uintptr_t pc)
{
    struct rule none = {0, 0, END, 1};
    struct dl_find_object_like found;
    if (!find_object || find_object((void *)pc, (struct dl_find_object *)&found) != 0)
        return none;
    const uint8_t *header = found.eh_frame;
    if (!header || header[0] != 1 || header[2] != 0x03 || header[3] != 0x3b)
        return none;
    const uint8_t *at = header + 4;
    uintptr_t frames;
    if (!pointer_at(&at, header[1], &frames))
        return none;
    uint32_t low = 0, high = u32(at);
    const uint8_t *table = at + 4;
    if (!high)
        return none;
    while (high - low > 1) { /* the last FDE that begins at or before pc */
        uint32_t middle = low + (high - low) / 2;
        if ((uintptr_t)header + (uintptr_t)(int64_t)(int32_t)u32(table + 8 * middle) <= pc)
            low = middle;
        else
            high = middle;
    }
    const uint8_t *fde = header + (int32_t)u32(table + 8 * low + 4);
    uint32_t length = u32(fde);
    if (length == 0 || length == UINT32_MAX)
        return none;
    const uint8_t *fde_end = fde + 4 + length, *cie = fde + 4 - (int32_t)u32(fde + 4);
    uint32_t cie_length = u32(cie);
    if (cie_length == 0 || cie_length == UINT32_MAX)
        return none;
    const uint8_t *cie_end = cie + 4 + cie_length;
    at = cie + 8;
    uint8_t version = *at++;
    const char *augmentation = (const char *)at;
    at += strlen(augmentation) + 1;
    if (version != 1 && version != 3)
        return none;
    uint64_t code_align = uleb(&at);
    int64_t data_align = sleb(&at);
    if (version == 1) at++; else uleb(&at);
    uint8_t encoding = 0;
    bool signal = false;
    if (augmentation[0] == 'z') {
        uint64_t bytes = uleb(&at);
        const uint8_t *data = at;
        at += bytes;
        for (const char *what = augmentation + 1; *what; what++) {
            uintptr_t unused;
            if (*what == 'R') encoding = *data++;
            else if (*what == 'L') data++;
            else if (*what == 'P') { uint8_t how = *data++; if (!pointer_at(&data, how & 127, &unused)) return none; }
            else if (*what == 'S') signal = true;
            else return none;
        }
    } else if (augmentation[0]) {
        return none;
    }
    if (signal)
        return none;
    const uint8_t *in = fde + 8;
    uintptr_t begins, bytes;
    if (!pointer_at(&in, encoding, &begins) || !pointer_at(&in, encoding & 15, &bytes))
        return none;
    if (pc < begins || pc >= begins + bytes)
        return none;
    if (augmentation[0] == 'z') {
        uint64_t skipped = uleb(&in);
        in += skipped;
    }
    struct frame_state first = {{0, 0, END, 1}, 0, false}, now;
    run_instructions(at, cie_end, 0, UINTPTR_MAX, code_align, data_align, &first, &first);
    now = first;
    run_instructions(in, fde_end, begins, pc, code_align, data_align, &first, &now);
    return now.lost || now.ra_at != -8 ? none : now.rule;
}

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static struct rule known_rule(uintptr_t pc)
{
    uint64_t key = pc ^ atomic_load_explicit(&generation, memory_order_relaxed) << 48;
    uint64_t place = mixed(key);
    for (int tries = 0; tries < 8; tries++, place++) {
        struct cached *one = &state->rule[place % RULES];
        uint64_t found = atomic_load_explicit(&one->key, memory_order_acquire);
        if (LIKELY(found == key))
            return one->rule;
        if (found == 0) {
            struct rule rule = rule_at(pc);
            if (atomic_compare_exchange_strong(&one->key, &found, 1)) {
                one->rule = rule;
                atomic_store_explicit(&one->key, key, memory_order_release);
            }
            return rule;
        }
    }
    return rule_at(pc);
}

/* The return addresses above a frame: `first`, and those of its callers. */
static uint32_t unwound(uintptr_t first, uintptr_t rsp, uintptr_t rbp, uintptr_t *chain)
{
    uint32_t many = 0, depth = state->depth;
    uintptr_t pc = first;
    while (many < depth && pc > PAGE) {
        chain[many++] = pc;
        if (many == depth)
            break;
        struct rule rule = known_rule(pc - 1);
        uintptr_t cfa;
        if (rule.base == RSP)
            cfa = rsp + (intptr_t)rule.cfa_offset;
        else if (rule.base == RBP)
            cfa = rbp + (intptr_t)rule.cfa_offset;
        else if (rule.base == AT_RBP && rbp > rsp - 8)
            cfa = u64((const void *)(rbp + (intptr_t)rule.cfa_offset));
        else
            break;
        if (cfa <= rsp || cfa - rsp > (uintptr_t)1 << 30 || cfa % 8)
            break;
        pc = u64((const void *)(cfa - 8));
        if (rule.rbp_at == INT16_MAX)
            rbp = u64((const void *)rbp);
        else if (rule.rbp_at)
            rbp = u64((const void *)(cfa + rule.rbp_at));
        rsp = cfa;
    }
    return many;
}

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
    struct dl_find_object_like found;
    if (!find_object || find_object((void *)pc, (struct dl_find_object *)&found) != 0)
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

/* Where malloc was called from; only of a function that has a frame pointer, and inlined there. */
#define SITE()                                                                                     \
    ({                                                                                             \
        uintptr_t chain_[MOST_DEPTH], *frame_ = __builtin_frame_address(0);                        \
        site_of(chain_, unwound((uintptr_t)__builtin_return_address(0), (uintptr_t)(frame_ + 2),   \
                                frame_[0], chain_));                                               \
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

/* Inlined, so that SITE() sees the frame of the function that the program has called. */
#define IN_FRAME static inline __attribute__((always_inline))

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
