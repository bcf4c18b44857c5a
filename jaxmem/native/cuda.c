/* Places the blocks of a GPU by a policy: a pluggable allocator of PyTorch for CUDA, on Linux with
 * glibc. Chosen by torch.cuda.memory.CUDAPluggableAllocator, with the names of the functions here.
 *
 * Blocks lie in one region of the first device that is used, which is taken from CUDA when the first
 * block is asked for. Their table is of host memory alone: beside each unit of the device, 512
 * bytes, it has 16 of its own, where it writes what it else writes in holes. What finds no hole, and
 * what other devices ask for, is CUDA's own; where CUDA has nothing either, the program ends.
 *
 * A block is free again as soon as it is freed: its stream goes on in order. A block that is placed
 * where another stream has freed something waits, on the device, for all that the other has been
 * given so far. So what is placed where depends on no clock, and is the simulator's.
 *
 * The environment says what to do:
 *
 *     JAXMEM_CUDA_ARENA   bytes of the region; usually nine tenths of what is free
 *     JAXMEM_CUDA_LOG     the log; it is made anew. None is written without it
 *     JAXMEM_CUDA_DEPTH   return addresses of a call site, usually 16, 0 .. 32
 */
#include "live_arena.h"

enum { UNIT_SHIFT = 9, OWN_SHIFT = 4 };             /* bytes of a unit, of the device and our own */
enum { STREAMS = 255, NOBODY = 255, USERS = 4096 }; /* NOBODY: nothing is to be waited for */
enum { WITHOUT_TIMING = 2, UNLOADING = 4 };         /* of an event; an error: CUDA has ended */

typedef void *stream_t;

static struct {
    int (*get_device)(int *);
    int (*set_device)(int);
    int (*memory)(size_t *, size_t *);
    int (*malloc)(void **, size_t);
    int (*free)(void *);
    int (*new_event)(void **, unsigned);
    int (*record)(void *, stream_t);
    int (*wait)(stream_t, void *, unsigned);
    int (*synchronize)(void);
} cuda;

/* A stream that uses a block of another. */
struct user {
    uintptr_t block;
    stream_t stream;
};

static struct {
    _Atomic bool begun;
    bool streams_differ;
    int device;
    uintptr_t low, bytes;     /* of the region; 0 bytes: there is none */
    stream_t stream[STREAMS]; /* by number, as they came */
    uint32_t streams;
    uint8_t *freed_by;        /* by unit, the number of the stream that was there last */
    void *event;              /* it is recorded and waited for at once, and so serves again */
    struct user user[USERS];
    uint32_t users;
    bool more_users;          /* than there was room for: the device is waited for */
} device_arena;

static _Noreturn void ended(const char *what, const char *why)
{
    fprintf(stderr, "jaxmem: %s: %s\n", what, why);
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void *cuda_function(const char *name)
{
    static const char *const libraries[] = {"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"};
    void *found = dlsym(RTLD_DEFAULT, name);
    for (size_t k = 0; !found && k < sizeof libraries / sizeof *libraries; k++) {
        void *library = dlopen(libraries[k], RTLD_LAZY);
        found = library ? dlsym(library, name) : NULL;
    }
    if (!found)
        ended(name, "there is no CUDA runtime with it");
    return found;
}

#define CUDA(field, name) cuda.field = (__typeof__(cuda.field))cuda_function(name)

static void resolve_cuda(void)
{
    CUDA(get_device, "cudaGetDevice");
    CUDA(set_device, "cudaSetDevice");
    CUDA(memory, "cudaMemGetInfo");
    CUDA(malloc, "cudaMalloc");
    CUDA(free, "cudaFree");
    CUDA(new_event, "cudaEventCreateWithFlags");
    CUDA(record, "cudaEventRecord");
    CUDA(wait, "cudaStreamWaitEvent");
    CUDA(synchronize, "cudaDeviceSynchronize");
    find_object = (__typeof__(find_object))dlsym(RTLD_DEFAULT, "_dl_find_object");
}

static void checked(int error, const char *what)
{
    char why[64];
    snprintf(why, sizeof why, "CUDA has error %d", error);
    if (error && error != UNLOADING)
        ended(what, why);
}

/* Takes the region, and makes the table of it; with the lock held. */
static void begin(int device)
{
    static struct live_head without_log;
    resolve_cuda();
    live.head = &without_log;
    bool logged = begin_log(getenv("JAXMEM_CUDA_LOG"));
    checked(cuda.new_event(&device_arena.event, WITHOUT_TIMING), "an event");
    size_t free_bytes, all_bytes;
    checked(cuda.memory(&free_bytes, &all_bytes), "free memory");
    uint64_t units = number_of("JAXMEM_CUDA_ARENA", free_bytes / 10 * 9) >> UNIT_SHIFT;
    units = units < MOST_UNITS ? units : MOST_UNITS;
    live.head->unit = 1u << UNIT_SHIFT;
    void *region;
    if (!units || cuda.malloc(&region, units << UNIT_SHIFT) != 0)
        ended("JAXMEM_CUDA_ARENA", "it is no number of bytes of a region that the device has");
    size_t bytes = table_bytes((uint32_t)units, OWN_SHIFT);
    char *room = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    device_arena.freed_by = zeros(units);
    if (room == MAP_FAILED || !device_arena.freed_by ||
        !table_begin(&live.table, room, (uint32_t)units, (uint32_t)units, OWN_SHIFT, KEPT) ||
        !begin_policy(number_of("JAXMEM_CUDA_DEPTH", 16)))
        ended("the table of the arena", "there is no memory for it");
    if (!logged)
        process = NULL;
    device_arena.device = device;
    device_arena.low = (uintptr_t)region;
    device_arena.bytes = units << UNIT_SHIFT;
    device_arena.begun = true;
}

/* ---- Streams ---- */

/* The number of a stream, NOBODY where there are too many. */
static uint8_t number_of_stream(stream_t stream)
{
    for (uint32_t k = 0; k < device_arena.streams; k++)
        if (device_arena.stream[k] == stream)
            return (uint8_t)k;
    if (device_arena.streams == STREAMS)
        return NOBODY;
    device_arena.stream[device_arena.streams] = stream;
    device_arena.streams_differ = device_arena.streams > 0;
    return (uint8_t)device_arena.streams++;
}

/* Makes a device the current one, and returns which was. */
static int changed_device(int device)
{
    int before = device;
    checked(cuda.get_device(&before), "the device");
    if (before != device)
        checked(cuda.set_device(device), "the device");
    return before;
}

/* Lets one stream go on when the other has done what it was given so far. */
static void wait_for(stream_t waiting, stream_t other)
{
    int before = changed_device(device_arena.device); /* whose default stream has no number */
    if (cuda.record(device_arena.event, other) != 0)  /* of a stream that is no more, it may be */
        checked(cuda.synchronize(), "waiting for the device");
    else
        checked(cuda.wait(waiting, device_arena.event, 0), "waiting for an event");
    changed_device(before);
}

/* Lets a stream use units that others may still be at. */
static void take_over(stream_t stream, uint32_t start, uint32_t units)
{
    uint8_t own = number_of_stream(stream);
    if (!device_arena.streams_differ)
        return;
    bool waits[256] = {0};
    for (const uint8_t *at = device_arena.freed_by + start, *end = at + units; at < end; at++)
        waits[*at] = true;
    waits[NOBODY] = waits[own] = false;
    for (uint32_t k = 0; k < device_arena.streams; k++)
        if (waits[k])
            wait_for(stream, device_arena.stream[k]);
}

/* Leaves units to others, when a stream and those that used its block have been given their last. */
static void hand_over(uintptr_t block, stream_t stream, uint32_t start, uint32_t units)
{
    for (uint32_t k = device_arena.users; k-- > 0;) {
        if (device_arena.user[k].block != block)
            continue;
        wait_for(stream, device_arena.user[k].stream);
        device_arena.user[k] = device_arena.user[--device_arena.users];
    }
    if (!device_arena.streams_differ && !device_arena.more_users)
        return;
    uint8_t own = device_arena.more_users ? NOBODY : number_of_stream(stream);
    if (own == NOBODY) {
        int before = changed_device(device_arena.device);
        checked(cuda.synchronize(), "waiting for the device");
        changed_device(before);
    }
    memset(device_arena.freed_by + start, own, units);
}

/* ---- Blocks ---- */

/* A block of CUDA's own. */
static void *block_of_cuda(size_t bytes, int device)
{
    void *block = NULL;
    int before = changed_device(device);
    if (cuda.malloc(&block, bytes) != 0) {
        char what[64];
        snprintf(what, sizeof what, "a block of %zu bytes on device %d", bytes, device);
        ended(what, "no hole of the arena is long enough, and CUDA has no memory beside it");
    }
    changed_device(before);
    return block;
}

static void *placed(size_t size, int device, stream_t stream, const uintptr_t *chain, uint32_t many)
{
    bool taken = locked();
    struct table *t = &live.table;
    struct failed_request failed = {0};
    void *given = NULL;
    if (device == device_arena.device && size <= device_arena.bytes && keep_room() &&
        enough_numbers(t)) {
        struct jaxmem_block block;
        uint32_t start = place_request(size, key_of_chain(chain, many), timed(), &block, &failed);
        if (start < NO_MEMORY) {
            given = (void *)(device_arena.low + ((uintptr_t)start << UNIT_SHIFT));
            take_over(stream, start, table_end(t, start) - start);
            if (counts_deaths_of_all())
                keep((uintptr_t)given, live.requests - 1, block);
        }
    } else if (logging()) {
        live.head->refused++;
    }
    unlocked(taken);
    return given ? given : elsewhere(block_of_cuda(size, device), &failed);
}

/* Gives a block; of no bytes: NULL. As torch.cuda.memory.CUDAPluggableAllocator calls it. */
PUBLIC void *jaxmem_cuda_alloc(ssize_t size, int device, stream_t stream)
{
    uintptr_t chain[MOST_DEPTH];
    if (size <= 0)
        return NULL;
    if (!device_arena.begun) {
        bool taken = locked();
        if (!device_arena.begun)
            begin(device);
        unlocked(taken);
    }
    uint32_t many = live.depth ? UNWOUND(live.rules, live.depth, chain) : 0;
    return placed((size_t)size, device, stream, chain, many);
}

/* Takes a block back. */
PUBLIC void jaxmem_cuda_free(void *block, ssize_t size, int device, stream_t stream)
{
    (void)size, (void)device;
    uintptr_t offset = (uintptr_t)block - device_arena.low;
    if (!block)
        return;
    if (offset >= device_arena.bytes) {
        lost_no_more(block);
        checked(cuda.free(block), "free"); /* which waits for the device */
        return;
    }
    bool taken = locked();
    uint32_t start = (uint32_t)(offset >> UNIT_SHIFT);
    struct table *t = &live.table;
    if (offset & ((1 << UNIT_SHIFT) - 1) || !bit_at(t->begins, start) || bit_at(t->holes, start))
        broken("free", block, "is no address of a block, or its block was freed before");
    hand_over((uintptr_t)block, stream, start, table_end(t, start) - start);
    free_request(start, (uintptr_t)block, timed());
    unlocked(taken);
}

/* Tells that another stream uses a block: when it is freed, that is waited for. */
PUBLIC void jaxmem_cuda_record_stream(void *block, stream_t stream)
{
    if ((uintptr_t)block - device_arena.low >= device_arena.bytes)
        return; /* what is CUDA's own waits for the whole device */
    bool taken = locked(), known = false;
    for (uint32_t k = 0; k < device_arena.users && !known; k++)
        known = device_arena.user[k].block == (uintptr_t)block && device_arena.user[k].stream == stream;
    if (!known && device_arena.users < USERS)
        device_arena.user[device_arena.users++] = (struct user){(uintptr_t)block, stream};
    else if (!known)
        device_arena.more_users = true;
    unlocked(taken);
}

/* Is called where a pool begins, as that of a CUDA graph: what a graph was captured with must not be
 * given to others, and here it would be. */
PUBLIC _Noreturn void jaxmem_cuda_no_pool(void)
{
    ended("CUDA graphs and memory pools", "this allocator has no memory apart for them");
}
