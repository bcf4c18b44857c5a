/*
 * A memory placement policy: where a block goes among the holes of an arena.
 *
 * `jaxmem export POLICY to=c` writes this header, which is the same for every policy, and one
 * source, jaxmem_policy.c, which is the policy. Both are C99 and need nothing but the C library's
 * mathematics (-lm). Nothing here allocates, locks or keeps anything of its own: what is kept from
 * request to request is in a struct jaxmem_state of the caller's, and callers on several threads
 * take turns.
 *
 * Sizes and addresses are in units of `alignment` bytes; an arena of U units has the addresses
 * 0 .. U - 1, at most 2^31 - 2 of them. Holes are the free runs of units between blocks, as long as
 * they can be: no two of them touch.
 *
 * For each request, in this order:
 *
 *     jaxmem_asked(&state, site, bytes, &request, &block);
 *     fit = jaxmem_fit(&request, &arena);
 *     if (request.planned >= 0 and the units from there on are free)
 *         start = request.planned;
 *     else if (fit == JAXMEM_BY_HOLES)
 *         start = jaxmem_choose(&request, &arena, holes, count);
 *     else
 *         start = what the caller's own index of holes has for this fit
 *
 * and jaxmem_freed(&state, block) when the block is freed. A resized block is a new one, and then
 * the old one is freed.
 */
#ifndef JAXMEM_POLICY_H
#define JAXMEM_POLICY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a policy chooses. */
enum jaxmem_policy_kind {
    JAXMEM_ORDER,  /* one of the fits, by the request alone: jaxmem_fit always tells it */
    JAXMEM_SCORES, /* it has to see all holes, unless jaxmem_fit tells a fit: the hole scorer is
                      best fit where blocks are tiny beside the arena */
};

/* What a policy asks of a request besides its size; the sum of these. */
enum jaxmem_policy_needs {
    JAXMEM_NEEDS_SITES = 1,   /* call sites: the same key in every run of the program, not 0 */
    JAXMEM_NEEDS_HISTORY = 2, /* counts of what has died: a table of kinds, and every free */
    JAXMEM_NEEDS_FREES = 4,   /* every free */
};

/* Which hole, of those that are long enough, and which end of it the block takes. Of holes that
 * are equal in this it is the one with the lowest address. */
enum jaxmem_fit {
    JAXMEM_BY_HOLES = -1, /* none of these: jaxmem_choose has to see the holes */
    JAXMEM_FIRST_LOW,     /* the lowest hole, low end */
    JAXMEM_LAST_HIGH,     /* the highest hole, high end */
    JAXMEM_BEST_LOW,      /* the shortest hole, low end */
    JAXMEM_BEST_HIGH,     /* the shortest hole, high end */
    JAXMEM_WORST_LOW,     /* the longest hole, low end */
    JAXMEM_NEXT_LOW,      /* the lowest start at or after the end of the block placed last, which
                             may lie inside a hole; if there is none, the lowest hole */
};

extern const char jaxmem_policy_name[];
extern const int jaxmem_policy_kind;       /* an enum jaxmem_policy_kind */
extern const unsigned jaxmem_policy_needs; /* the sum of enum jaxmem_policy_needs */
extern const size_t jaxmem_policy_memory;  /* bytes of its own that jaxmem_begin is given; 0: none */

/* A hole: the units from low to before high. */
struct jaxmem_hole {
    uint32_t low, high;
};

/* The arena, as it is before the block is placed. */
struct jaxmem_arena {
    uint32_t units;       /* its size, 0 if it grows */
    uint32_t live_units;  /* of live blocks */
    uint32_t live_blocks;
    uint32_t cursor;      /* where the block placed last ends; only JAXMEM_NEXT_LOW asks for it */
};

/* A request, and what is known when it is made. jaxmem_asked fills what the policy needs, and
 * leaves the rest 0. */
struct jaxmem_request {
    uint32_t size;     /* units, at least 1 */
    uint32_t foretold; /* requests that the block is expected to live for, 0: unknown */
    float died;        /* blocks like it, of its call site and bytes, that have died */
    float lived;       /* sum of the natural logarithms of their lifetimes in requests */
    float usual;       /* mean natural logarithm of all sizes in units so far, its own among them */
    uint32_t begins;   /* 1: nothing at all has been freed yet */
    uint32_t excepted; /* the exception to its class that it is, counted from 1; 0: none */
    int32_t planned;   /* the first unit of its slot, or one of those below */
};
#define JAXMEM_NO_PLAN (-1) /* there is no plan, or it was dropped */
#define JAXMEM_NO_SLOT (-2) /* the plan has no slot that it fits */

/* What the caller keeps of a block, for jaxmem_freed. */
struct jaxmem_block {
    uint32_t kind; /* place in the table of kinds, or JAXMEM_NO_KIND */
    uint32_t born; /* number of its request, modulo 2^32 */
};
#define JAXMEM_NO_KIND UINT32_MAX

/* Blocks that are alike: the same call site and the same bytes. */
struct jaxmem_kind {
    uint64_t site, bytes; /* bytes 0: no kind is here */
    double lived;         /* sum of the natural logarithms of the lifetimes of those that died */
    uint64_t died;
};

#define JAXMEM_CONTEXT 24 /* call sites that the longest context has */

/* What is kept from request to request; jaxmem_begin fills it, and callers leave it alone. */
struct jaxmem_state {
    uint32_t alignment;              /* bytes in a unit */
    uint32_t sites;                  /* 1: call sites are known, else sizes stand for them */
    uint64_t requests;               /* so far */
    uint64_t recent[JAXMEM_CONTEXT]; /* the call sites of the last requests, in a ring */
    uint64_t context[3];             /* their hashes, of the longest context first */
    double sizes;                    /* sum of the natural logarithms of all sizes in bytes */
    float unit;                      /* natural logarithm of the alignment */
    uint32_t freed;                  /* 1: something has been freed */
    struct jaxmem_kind *kinds;       /* the caller's table */
    uint32_t room, used;             /* its entries, a power of two; those that are taken */
    void *memory;                    /* the caller's, of the policy's own use */
};

/* Begins a run.
 *
 * alignment: bytes in a unit, at least 1.
 * sites: 1 if requests come with the keys of call sites, 0 if not: then sizes stand for them.
 * kinds: a table of `room` entries, a power of two, all bytes 0; needed by a policy with
 *     JAXMEM_NEEDS_HISTORY, else it may be NULL. When seven eighths are taken, nothing is known any
 *     more of kinds that are new; the policy goes on.
 * memory: jaxmem_policy_memory bytes, aligned as malloc does; may be NULL where that is 0. */
void jaxmem_begin(struct jaxmem_state *state, uint32_t alignment, uint32_t sites,
                  struct jaxmem_kind *kinds, uint32_t room, void *memory);

/* Counts a request of `bytes`, at least 1, and fills in what is known of it.
 *
 * site: the key of its call site, 0: unknown. Where the state has no sites it only tells kinds
 *     apart, and may be 0.
 * block: what jaxmem_freed is to be given when the block is freed; NULL if it never will be. */
void jaxmem_asked(struct jaxmem_state *state, uint64_t site, uint64_t bytes,
                  struct jaxmem_request *request, struct jaxmem_block *block);

/* Counts that a block is freed, whether it was placed or not. */
void jaxmem_freed(struct jaxmem_state *state, struct jaxmem_block block);

/* The fit for a request: an enum jaxmem_fit. An allocator with an index of holes needs no list of
 * them for it. */
int jaxmem_fit(const struct jaxmem_request *request, const struct jaxmem_arena *arena);

/* Where the block goes, whatever the kind of the policy: the address of its first unit, or -1 where
 * no hole is long enough. Of starts that are worth the same it is the lowest.
 *
 * holes: of the arena, in any order; those that are too short may be left out. */
int64_t jaxmem_choose(const struct jaxmem_request *request, const struct jaxmem_arena *arena,
                      const struct jaxmem_hole *holes, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
