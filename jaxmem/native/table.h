/* The table of an arena: where its holes are, and where a block goes under each fit.
 *
 * Nothing is kept in blocks. Two bits a unit say where blocks and holes begin, and which units
 * are the first or last of a hole; those two units hold the hole's number, by which its neighbours
 * find it. An index by length is kept, or one by address, or both, as the fits in use ask for.
 *
 * What is kept lies outside the arena, so that a program which writes where it may not can only
 * spoil numbers of holes; each is checked when it is read.
 *
 * An arena is bounded, and one hole at first; or it grows: then free units above the highest block
 * are no hole, and are used when no hole is long enough.
 */
#ifndef JAXMEM_TABLE_H
#define JAXMEM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/jaxmem_policy.h"

#define NOWHERE UINT32_MAX        /* no hole is long enough */
#define NO_MEMORY (UINT32_MAX - 1) /* the arena may grow, but the system has nothing for it */
#define MOST_UNITS 0x7ffffffeu    /* of an arena */

enum { EXACT_BINS = 1024, BINS = EXACT_BINS + 21 * 256, FILLED_ABOVE = (BINS + 4095) / 4096 };
enum { BEGINS, SOME_BEGIN, HOLES, INNER, LEVEL, LEVELS = 7, SIDES = LEVEL + LEVELS };
enum { BY_LENGTH = 1, BY_ADDRESS = 2, LISTED = 4 }; /* what is kept of holes */

struct hole {
    uint32_t start, length;       /* units; a number that is free has start NOWHERE */
    uint32_t child, next, before; /* in the heap of its bin; next: of the free numbers too */
    uint32_t place;               /* in the list, where one is kept */
};

struct table {
    char *memory;
    uint32_t shift;      /* a unit has 1 << shift bytes */
    uint32_t kept;       /* BY_LENGTH, BY_ADDRESS, LISTED */
    uint32_t limit;      /* units that there are addresses for */
    uint32_t open;       /* units from 0 on that may be written */
    uint32_t units;      /* of a bounded arena; 0: it grows */
    uint32_t top;        /* end of the bounded arena, or of the highest block */
    uint32_t cursor;     /* end of the block placed last */
    uint32_t live_units, live_blocks, peak_units, high_water;
    uint64_t fresh_low, fresh_high;  /* bytes from and to which nothing was ever written */
    uint64_t clean_low, clean_high;  /* the same, of the block placed last */
    uint64_t *begins, *some_begin;   /* a bit a unit: a block or hole begins; 64 of them: any does */
    uint64_t *holes;                 /* a bit a unit: the first or last of a hole */
    uint64_t *inner;                 /* a bit a unit: the pointer to an aligned block points here */
    uint32_t *level[LEVELS], levels; /* by address */
    struct hole *hole;               /* by number; 0 is none */
    struct jaxmem_hole *listed;      /* in no order */
    uint32_t *number, *waiting;      /* of each in the list; numbers that are yet to be looked at */
    uint32_t room, used, spare, count; /* numbers; those ever used; the first free one; holes */
    char *side[SIDES];
    uint32_t bin[BINS];
    uint64_t filled[BINS / 64], any_filled[FILLED_ABOVE];
};

/* Bytes of addresses that an arena with its table takes. */
static size_t table_bytes(uint32_t units, uint32_t shift);

/* Makes an arena; false: the system has no memory for it.
 *
 * t: all zeros.
 * room: `table_bytes(limit, shift)` bytes of addresses, page-aligned, which may not be touched yet.
 * units: of a bounded arena, then also the limit; 0: it grows, up to `limit`. */
static bool table_begin(struct table *t, char *room, uint32_t limit, uint32_t units, uint32_t shift,
                        uint32_t kept);

/* Places a block of `units`, at least 1; returns where it starts, NOWHERE or NO_MEMORY.
 *
 * fit: an enum jaxmem_fit other than JAXMEM_BY_HOLES, of an index that is kept. */
static uint32_t table_place(struct table *t, uint32_t units, int fit);

/* Places a block at the low or high end of a hole: `start` is where jaxmem_choose has put it. */
static uint32_t table_place_at(struct table *t, uint32_t units, uint32_t start);

/* Whether so many units from `start` on are free, in an arena that is bounded. */
static bool table_is_free(const struct table *t, uint32_t units, uint32_t start);

/* Places a block anywhere, where `table_is_free`. */
static uint32_t table_place_inside(struct table *t, uint32_t units, uint32_t start);

/* Frees the block that begins at `start`. */
static void table_free(struct table *t, uint32_t start);

/* Where the block begins that was given out as this address; ends the program if there is none. */
static uint32_t table_block(const struct table *t, const char *address, const char *call);

/* Where the block or hole ends that begins at `start`. */
static inline uint32_t table_end(const struct table *t, uint32_t start);

/* Ends the program, with a line that says what is wrong with an address. */
static _Noreturn void broken(const char *call, const void *address, const char *what);

static inline bool bit_at(const uint64_t *of, uint32_t at)
{
    return of[at >> 6] >> (at & 63) & 1;
}

static inline uint32_t *low_mark(const struct table *t, uint32_t start)
{
    return (uint32_t *)(void *)(t->memory + ((size_t)start << t->shift));
}

static inline uint32_t *high_mark(const struct table *t, uint32_t end)
{
    return (uint32_t *)(void *)(t->memory + ((size_t)end << t->shift)) - 1;
}

/* The number of the hole that begins at `start`. */
static inline uint32_t hole_from(const struct table *t, uint32_t start)
{
    uint32_t id = *low_mark(t, start);
    if (__builtin_expect(id >= t->used || t->hole[id].start != start, 0))
        broken("free memory", low_mark(t, start), "was written by the program");
    return id;
}

/* The number of the hole that ends at `end`. */
static inline uint32_t hole_to(const struct table *t, uint32_t end)
{
    uint32_t id = *high_mark(t, end);
    if (__builtin_expect(id >= t->used || t->hole[id].start >= end ||
                             t->hole[id].start + t->hole[id].length != end, 0))
        broken("free memory", high_mark(t, end), "was written by the program");
    return id;
}

#endif
