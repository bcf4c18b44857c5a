/* What libraries have in common that stand before the C library in a program: its own functions,
 * and memory until they are known. */
#include "loaded.h"

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void *(*real_memalign)(size_t, size_t);
static size_t (*real_usable)(void *);
static int (*real_dlclose)(void *);

#define REAL(name, symbol) name = (__typeof__(name))dlsym(RTLD_NEXT, symbol)

static void resolve(void)
{
    REAL(real_calloc, "calloc");
    REAL(real_malloc, "malloc");
    REAL(real_realloc, "realloc");
    REAL(real_posix_memalign, "posix_memalign");
    REAL(real_aligned_alloc, "aligned_alloc");
    REAL(real_memalign, "memalign");
    REAL(real_usable, "malloc_usable_size");
    REAL(real_dlclose, "dlclose");
    REAL(find_object, "_dl_find_object");
    REAL(real_free, "free");
}

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
