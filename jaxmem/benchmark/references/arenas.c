// Best-fit in scalar C. All arenas take a step before any takes the next one, as a learner's actions
// come for all of them at once, and every step writes the whole observation and mask of an arena.
//
// An arena is an array of its live blocks in address order. One pass over it frees the dead, closes
// the gaps that they leave in the array, and finds the best hole for the request that waits.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    int32_t start, end, expiry;
} block;

typedef struct {
    int32_t live;   // blocks
    int32_t start;  // of the best hole for the request that waits, -1: none fits
    int32_t above;  // the block that ends this hole
} arena;

typedef struct {
    uint32_t spare;  // cells that the request leaves of the hole
    int32_t start, above;
} hole;

#define INLINE __attribute__((always_inline)) static inline

// The better one of `best` and the hole from `start` to `end`, and the mask of the latter.
INLINE hole tighter(hole best, int32_t start, int32_t end, int32_t above, int32_t size,
                    uint8_t *mask, const bool observe)
{
    int32_t spare = end - start - size;
    if (observe && spare >= 0)
        memset(mask + start, 1, (size_t)(uint32_t)spare + 1);
    // A negative number is a large one without its sign. Which hole wins cannot be foretold, so
    // each field is a conditional move rather than all of them one branch.
    bool better = (uint32_t)spare < best.spare;
    best.spare = better ? (uint32_t)spare : best.spare;
    best.start = better ? start : best.start;
    best.above = better ? above : best.above;
    return best;
}

// Whether the waiting request, of `size` cells, fails at time `now`; then `next` cells wait at time
// `then`. `taken` holds a byte for each cell: to widen them all is quicker than to draw the blocks.
INLINE bool step(arena *mine, block *blocks, int32_t size, int32_t lifetime, int32_t now,
                 int32_t next, int32_t then, int32_t cells, uint8_t *restrict taken,
                 float *restrict observation, uint8_t *mask, const bool observe)
{
    int32_t live = mine->live, start = mine->start;
    if (start >= 0) {
        for (int32_t i = live; i > mine->above; i--)
            blocks[i] = blocks[i - 1];
        blocks[mine->above] = (block){start, start + size, now + lifetime};
        live++;
        if (observe)
            memset(taken + start, 1, (size_t)size);
    }
    if (then == 0) {
        live = 0;
        if (observe)
            memset(taken, 0, (size_t)cells);
    }
    if (observe)
        memset(mask, 0, (size_t)cells);
    int32_t kept = 0, edge = 0;
    hole best = {(uint32_t)cells, -1, 0};
    for (int32_t i = 0; i < live; i++) {
        block old = blocks[i];
        if (old.expiry <= then) {
            if (observe)
                memset(taken + old.start, 0, (size_t)(old.end - old.start));
            continue;
        }
        best = tighter(best, edge, old.start, kept, next, mask, observe);
        blocks[kept++] = old;
        edge = old.end;
    }
    best = tighter(best, edge, cells, kept, next, mask, observe);
    *mine = (arena){kept, best.start, best.above};
    if (observe) {
        for (int32_t cell = 0; cell < cells; cell++)
            observation[cell] = taken[cell];
        observation[cells] = (float)next / (float)cells;
        mask[cells] = best.start < 0;
    }
    return start < 0;
}

// Failed requests of all arenas in `steps` steps, the first of them at time `now`.
// size, lifetime: [horizon, sequences]; blocks: [arenas, room]; taken: [arenas, cells];
// observation, mask: [arenas, cells + 1]; the last three are NULL if nothing is observed.
int64_t play(int64_t now, int64_t steps, const int32_t *size, const int32_t *lifetime,
             int64_t horizon, int64_t sequences, int64_t cells, int64_t arenas, int64_t room,
             arena *states, block *blocks, uint8_t *taken, float *observation, uint8_t *mask)
{
    int64_t failed = 0, wide = cells + 1;
    int32_t count = (int32_t)cells;
    for (; steps > 0; steps--) {
        int64_t then = now + 1 == horizon ? 0 : now + 1;
        const int32_t *sizes = size + now * sequences, *lifetimes = lifetime + now * sequences;
        const int32_t *nexts = size + then * sequences;
        for (int64_t e = 0, row = 0; e < arenas; e++) {
            if (observation)
                failed += step(states + e, blocks + e * room, sizes[row], lifetimes[row],
                               (int32_t)now, nexts[row], (int32_t)then, count, taken + e * cells,
                               observation + e * wide, mask + e * wide, true);
            else
                failed += step(states + e, blocks + e * room, sizes[row], lifetimes[row],
                               (int32_t)now, nexts[row], (int32_t)then, count, NULL, NULL, NULL,
                               false);
            row = row + 1 == sequences ? 0 : row + 1;
        }
        now = then;
    }
    return failed;
}
