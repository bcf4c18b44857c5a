/* What libraries have in common that stand before the C library in a program: its own functions,
 * memory until they are known, and parts of a log.
 *
 * For Linux with glibc on x86-64. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unwinder.h"

#if !defined(__x86_64__) || !defined(__linux__) || !defined(__GLIBC__)
#error "it is for Linux with glibc on x86-64"
#endif

#define PUBLIC __attribute__((visibility("default")))
#define LOCAL_THREAD static __thread __attribute__((tls_model("initial-exec")))

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

/* Maps a part of a log, for which there is room then; NULL and errno if there is none. The file is
 * opened for a moment only: programs close what they do not know. */
static void *mapped_part(const char *path, uint64_t at, size_t bytes)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur < at + bytes) {
        errno = EFBIG; /* the kernel would send a signal */
        return NULL;
    }
    int file = open(path, O_RDWR | O_CLOEXEC);
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
    return part;
}
