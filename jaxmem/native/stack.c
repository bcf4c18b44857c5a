/*
 * A stack of blocks, rectangles of time by address: each in turn as low as it can lie beside those
 * before it that it shares a moment with, maybe between two of them.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

typedef struct {
    int64_t low, high, birth, death;
} Lying;

/*
 * Stacks the blocks in their order.
 *
 * Args:
 *     size: units.
 *     birth, death: each is live for birth <= t < death.
 *     pinned: where each block lies, or less than 0.
 *     multiple: units; what is not pinned lies at a multiple of them.
 *     low: where each block comes to lie, written.
 *
 * Returns 0 if there is no memory for it.
 */
EXPORTED int stacked(int64_t blocks, const int64_t *size, const int64_t *birth, const int64_t *death,
                     const int64_t *pinned, const int64_t *multiple, int64_t *low) {
    Lying *by_address = malloc((size_t)blocks * sizeof *by_address);
    if (!by_address)
        return 0;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t at = 0, top = 0, begin = birth[block], end = death[block];
        low[block] = pinned[block];
        if (low[block] < 0) {
            low[block] = 0;
            for (; at < block; at++) {
                const Lying *other = &by_address[at];
                if (other->birth >= end || other->death <= begin)
                    continue;
                if (other->low - low[block] >= size[block])
                    break;
                if (other->high > top) {
                    top = other->high;
                    low[block] = (top + multiple[block] - 1) / multiple[block] * multiple[block];
                }
            }
        }
        for (at = block; at && by_address[at - 1].low > low[block]; at--)
            by_address[at] = by_address[at - 1];
        by_address[at] = (Lying){low[block], low[block] + size[block], begin, end};
    }
    free(by_address);
    return 1;
}
