/* What libraries have in common that are loaded into programs, and log there.
 *
 * For Linux with glibc on x86-64. */
#ifndef JAXMEM_LOADED_H
#define JAXMEM_LOADED_H

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

#endif
