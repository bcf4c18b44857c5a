/* The holes of a table by (length, address): the shortest that is long enough, the lowest of those.
 *
 * A bin holds the holes of one length, or beyond 1,023 units of lengths that differ by less than a
 * 256th, as a pairing heap (Fredman, Sedgewick, Sleator and Tarjan 1986); a bit says which bins
 * hold any.
 */
#ifndef JAXMEM_BY_LENGTH_H
#define JAXMEM_BY_LENGTH_H

#include "table.h"

static inline uint32_t bin_of(uint32_t length)
{
    if (length < EXACT_BINS)
        return length;
    uint32_t octave = 31 - (uint32_t)__builtin_clz(length);
    return EXACT_BINS + (octave - 10) * 256 + (length >> (octave - 8) & 255);
}

static inline uint64_t key_of(const struct hole *hole)
{
    return (uint64_t)hole->length << 32 | hole->start;
}

/* Makes one heap of two, of which both have a root. */
static inline uint32_t melded(struct hole *hole, uint32_t one, uint32_t other)
{
    if (key_of(hole + other) < key_of(hole + one)) {
        uint32_t swapped = one;
        one = other;
        other = swapped;
    }
    uint32_t child = hole[one].child;
    hole[other].next = child;
    hole[other].before = one;
    if (child)
        hole[child].before = other;
    hole[one].child = other;
    return one;
}

/* Makes one heap of siblings: two by two from the first, then all from the last. */
static uint32_t paired(struct hole *hole, uint32_t first)
{
    uint32_t pairs = 0;
    while (first) {
        uint32_t second = hole[first].next, rest = second ? hole[second].next : 0;
        uint32_t pair = second ? melded(hole, first, second) : first;
        hole[pair].next = pairs;
        pairs = pair;
        first = rest;
    }
    uint32_t root = pairs;
    if (root) {
        pairs = hole[root].next;
        while (pairs) {
            uint32_t rest = hole[pairs].next;
            root = melded(hole, root, pairs);
            pairs = rest;
        }
        hole[root].next = hole[root].before = 0;
    }
    return root;
}

static inline void length_add(struct table *t, uint32_t id)
{
    struct hole *hole = t->hole;
    uint32_t bin = bin_of(hole[id].length), root = t->bin[bin];
    hole[id].child = hole[id].next = hole[id].before = 0;
    if (!root) {
        t->bin[bin] = id;
        t->filled[bin >> 6] |= (uint64_t)1 << (bin & 63);
        t->any_filled[bin >> 12] |= (uint64_t)1 << (bin >> 6 & 63);
        return;
    }
    root = melded(hole, root, id);
    hole[root].next = hole[root].before = 0;
    t->bin[bin] = root;
}

static inline void length_drop(struct table *t, uint32_t id)
{
    struct hole *hole = t->hole;
    uint32_t bin = bin_of(hole[id].length), root = t->bin[bin];
    uint32_t below = hole[id].child ? paired(hole, hole[id].child) : 0;
    if (root == id) {
        root = below;
    } else {
        uint32_t before = hole[id].before, next = hole[id].next;
        if (hole[before].child == id)
            hole[before].child = next;
        else
            hole[before].next = next;
        if (next)
            hole[next].before = before;
        if (below) {
            root = melded(hole, root, below);
            hole[root].next = hole[root].before = 0;
        }
    }
    t->bin[bin] = root;
    if (!root && !(t->filled[bin >> 6] &= ~((uint64_t)1 << (bin & 63))))
        t->any_filled[bin >> 12] &= ~((uint64_t)1 << (bin >> 6 & 63));
}

/* The first bin from `bin` on that holds a hole; BINS: none. */
static inline uint32_t filled_bin(const struct table *t, uint32_t bin)
{
    uint32_t word = bin >> 6;
    uint64_t bits = t->filled[word] >> (bin & 63);
    if (bits)
        return bin + (uint32_t)__builtin_ctzll(bits);
    word++;
    for (uint32_t above = word >> 6; above < FILLED_ABOVE; above++) {
        bits = t->any_filled[above];
        if (above == word >> 6)
            bits &= ~(uint64_t)0 << (word & 63);
        if (bits) {
            word = (above << 6) + (uint32_t)__builtin_ctzll(bits);
            return (word << 6) + (uint32_t)__builtin_ctzll(t->filled[word]);
        }
    }
    return BINS;
}

/* Of the holes of a bin, the first in order of (length, address) that is long enough, or the first
 * of the longest; 0: none is. Only what is too short is gone through, or for the longest, all. */
static uint32_t in_bin(struct table *t, uint32_t bin, uint32_t units, bool longest)
{
    const struct hole *hole = t->hole;
    uint32_t best = 0, waiting = 0, at = t->bin[bin];
    while (at || waiting) {
        if (!at)
            at = t->waiting[--waiting];
        bool fits = hole[at].length >= units;
        if (fits && (!best || (longest ? hole[at].length > hole[best].length ||
                                             (hole[at].length == hole[best].length &&
                                              hole[at].start < hole[best].start)
                                       : key_of(hole + at) < key_of(hole + best))))
            best = at;
        if (hole[at].child && (longest || !fits))
            t->waiting[waiting++] = hole[at].child;
        at = hole[at].next;
    }
    return best;
}

static inline uint32_t shortest_that_fits(struct table *t, uint32_t units)
{
    uint32_t bin = bin_of(units);
    if (bin >= EXACT_BINS && t->bin[bin]) {
        uint32_t found = in_bin(t, bin, units, false);
        if (found)
            return found;
        bin++;
    }
    bin = filled_bin(t, bin);
    return bin < BINS ? t->bin[bin] : 0;
}

static inline uint32_t longest_if_it_fits(struct table *t, uint32_t units)
{
    for (uint32_t word = BINS / 64; word-- > 0;) {
        if (t->filled[word]) {
            uint32_t bin = (word << 6) + 63 - (uint32_t)__builtin_clzll(t->filled[word]);
            return in_bin(t, bin, units, true);
        }
    }
    return 0;
}

#endif
