/* As much of CUDA's runtime as the allocator calls, in memory of the host; what is called is written
 * to the file FAKE_LOG. FAKE_FREE: bytes that there are. */
#include <stdio.h>
#include <stdlib.h>

static size_t used;

static size_t all(void)
{
    const char *text = getenv("FAKE_FREE");
    return text ? strtoull(text, NULL, 10) : (size_t)1 << 40;
}

static int note(const char *call, void *of, void *more)
{
    FILE *file = fopen(getenv("FAKE_LOG"), "a");
    fprintf(file, "%s %lu %lu\n", call, (unsigned long)of, (unsigned long)more);
    return fclose(file);
}

int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaSetDevice(int device) { return note("device", (void *)(long)device, 0); }
int cudaMemGetInfo(size_t *left, size_t *total) { *left = *total = all() - used; return 0; }
int cudaMalloc(void **block, size_t bytes)
{
    if (used + bytes > all())
        return 2;
    used += bytes;
    return !(*block = aligned_alloc(512, (bytes + 511) / 512 * 512)) + note("malloc", (void *)bytes, 0);
}
int cudaFree(void *block) { free(block); return note("free", 0, 0); }
int cudaEventCreateWithFlags(void **event, unsigned flags) { *event = (void *)(long)flags; return 0; }
int cudaEventRecord(void *event, void *stream)
{
    return note("record", stream, 0) || stream == (void *)666; /* a stream that is no more */
}
int cudaStreamWaitEvent(void *stream, void *event, unsigned flags) { return note("wait", stream, 0); }
int cudaDeviceSynchronize(void) { return note("synchronize", 0, 0); }
