/* The holes of a table by address: the lowest or the highest that is long enough.
 *
 * For every 64 units there is the length of the longest hole that begins among them, for every 16 of
 * these their maximum, and so on: t->level[k] of t->levels + 1, the last with at most 16 numbers.
 */
#ifndef JAXMEM_BY_ADDRESS_H
#define JAXMEM_BY_ADDRESS_H

#include <emmintrin.h>

#include "table.h"

/* The maximum of 16 lengths, which are below 2^31. */
static inline uint32_t most_of_16(const uint32_t *of)
{
    __m128i most = _mm_load_si128((const __m128i *)of);
    for (int k = 1; k < 4; k++) {
        __m128i more = _mm_load_si128((const __m128i *)of + k);
        __m128i above = _mm_cmpgt_epi32(more, most);
        most = _mm_or_si128(_mm_and_si128(above, more), _mm_andnot_si128(above, most));
    }
    __m128i other = _mm_shuffle_epi32(most, 0x4e), above = _mm_cmpgt_epi32(other, most);
    most = _mm_or_si128(_mm_and_si128(above, other), _mm_andnot_si128(above, most));
    other = _mm_shuffle_epi32(most, 0xb1);
    uint32_t one = (uint32_t)_mm_cvtsi128_si32(most), two = (uint32_t)_mm_cvtsi128_si32(other);
    return one > two ? one : two;
}

/* A bit for each of 16 lengths that is at least `units`. */
static inline uint32_t fits_of_16(const uint32_t *of, uint32_t units)
{
    __m128i below = _mm_set1_epi32((int32_t)units - 1);
    const __m128i *in = (const __m128i *)of;
    __m128i low = _mm_packs_epi32(_mm_cmpgt_epi32(_mm_load_si128(in), below),
                                  _mm_cmpgt_epi32(_mm_load_si128(in + 1), below));
    __m128i high = _mm_packs_epi32(_mm_cmpgt_epi32(_mm_load_si128(in + 2), below),
                                   _mm_cmpgt_epi32(_mm_load_si128(in + 3), below));
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
}

/* Where the hole begins that is the first (or last) to fit among those beginning in a word of bits
 * from bit `from` on; NOWHERE: none. */
static inline uint32_t in_word(const struct table *t, uint32_t word, uint32_t from, uint32_t units,
                               bool last)
{
    uint64_t begins = t->begins[word], holes = begins & t->holes[word] & ~(uint64_t)0 << from;
    uint32_t found = NOWHERE;
    while (holes) {
        uint32_t at = (uint32_t)__builtin_ctzll(holes), start = (word << 6) + at;
        uint64_t after = at < 63 ? begins & ~(uint64_t)0 << (at + 1) : 0;
        uint32_t length = after ? (uint32_t)__builtin_ctzll(after) - at
                                : t->hole[hole_from(t, start)].length;
        if (length >= units) {
            found = start;
            if (!last)
                return found;
        }
        holes &= holes - 1;
    }
    return found;
}

static inline uint32_t most_in_word(const struct table *t, uint32_t word)
{
    uint64_t begins = t->begins[word], holes = begins & t->holes[word];
    uint32_t most = 0;
    while (holes) {
        uint32_t at = (uint32_t)__builtin_ctzll(holes);
        uint64_t after = at < 63 ? begins & ~(uint64_t)0 << (at + 1) : 0;
        uint32_t length = after ? (uint32_t)__builtin_ctzll(after) - at
                                : t->hole[hole_from(t, (word << 6) + at)].length;
        most = length > most ? length : most;
        holes &= holes - 1;
    }
    return most;
}

static inline void address_add(struct table *t, uint32_t start, uint32_t length)
{
    uint32_t at = start >> 6;
    for (uint32_t k = 0; k <= t->levels && t->level[k][at] < length; k++, at >>= 4)
        t->level[k][at] = length;
}

/* After a hole has gone, or begins elsewhere, or has another length. */
static inline void address_drop(struct table *t, uint32_t start, uint32_t length)
{
    uint32_t at = start >> 6;
    if (t->level[0][at] != length)
        return;
    uint32_t most = most_in_word(t, at);
    for (uint32_t k = 0; t->level[k][at] != most;) {
        t->level[k][at] = most;
        if (k == t->levels)
            return;
        at >>= 4;
        most = most_of_16(t->level[k++] + (at << 4));
    }
}

/* Where the first (or last) hole begins that fits below one number of a level, which fits. */
static inline uint32_t below_level(const struct table *t, uint32_t k, uint32_t at, uint32_t units,
                                   bool last)
{
    for (; k > 0; k--) {
        uint32_t fits = fits_of_16(t->level[k - 1] + (at << 4), units);
        at = (at << 4) + (last ? 31 - (uint32_t)__builtin_clz(fits) : (uint32_t)__builtin_ctz(fits));
    }
    return in_word(t, at, 0, units, last);
}

static inline uint32_t outermost_that_fits(const struct table *t, uint32_t units, bool last)
{
    uint32_t k = t->levels, fits = fits_of_16(t->level[k], units);
    if (!fits)
        return NOWHERE;
    uint32_t at = last ? 31 - (uint32_t)__builtin_clz(fits) : (uint32_t)__builtin_ctz(fits);
    return below_level(t, k, at, units, last);
}

/* Where the first hole begins that fits, at `from` or after it; NOWHERE: none. */
static inline uint32_t onward_that_fits(const struct table *t, uint32_t units, uint32_t from)
{
    uint32_t at = from >> 6;
    uint32_t found = t->level[0][at] < units ? NOWHERE : in_word(t, at, from & 63, units, false);
    for (uint32_t k = 0; found == NOWHERE && k <= t->levels; k++, at >>= 4) {
        uint32_t beside = at & 15, fits = fits_of_16(t->level[k] + (at & ~15u), units);
        fits &= ~1u << beside;
        if (fits)
            return below_level(t, k, (at & ~15u) + (uint32_t)__builtin_ctz(fits), units, false);
    }
    return found;
}

/* After the arena has grown: more levels, where the last would have more than 16 numbers. */
static inline void add_levels(struct table *t, uint32_t top)
{
    while ((uint64_t)top >> (10 + 4 * t->levels)) {
        t->levels++;
        t->level[t->levels][0] = most_of_16(t->level[t->levels - 1]);
    }
}

#endif
