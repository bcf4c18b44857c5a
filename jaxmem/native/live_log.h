/* The log of a live arena: what was placed, in the order of time, and figures.
 *
 * A file, mapped shared, so that nothing is flushed and nothing is lost however the program ends:
 * a page of figures, then events, each a u64, or where call sites are known, two:
 *
 *     kind | start << 3 | bytes << 34    kind 0: no event yet; of a LOST block, kind | request << 3
 *     key                                of the call site, 0: unknown
 */
#ifndef JAXMEM_LIVE_LOG_H
#define JAXMEM_LIVE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

enum { LIVE_VERSION = 1, LOG_PART = 1 << 18, LOG_PAGE = 4096, SIZE_BITS = 30 };
/* A request that was placed, or failed and went to the C library; the end of a block that was
 * placed at `start`; the end of one that went to the C library; the bytes of the next request,
 * above the kind, which has no room for them. */
enum { PLACED = 1, FAILED, FREED, LOST, LARGE };

struct live_head {
    char magic[16];
    uint32_t version, unit;  /* bytes in a unit */
    uint64_t words;          /* of an event: 2 where call sites are known, else 1 */
    uint64_t stopped;        /* errno of what ended the log before the program did; 0 */
    uint64_t no_arena;       /* errno of what kept it from having an arena; 0 */
    uint64_t own_malloc;     /* 1: the program brings a malloc of its own */
    uint64_t peak_units, high_water, failed, failed_bytes;
    uint64_t refused;        /* requests that the system had no memory for, or too large for any arena */
    uint64_t sampled, ticks; /* operations that were timed, and how long they took together */
    uint64_t tick[2], ns[2]; /* the clock of these ticks, first and last */
    uint64_t peak_rss;       /* bytes, of the program as it was seen last */
};

#endif
