/*
 * Whether blocks fit into so many units: a search for their offsets that ends with a packing, or
 * with the proof that there is none.
 *
 * After the idea of Moffitt, "MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated
 * Machine Learning" (ASPLOS 2023). Blocks are rectangles, sections of time by address. Of any packing
 * all blocks can be let down until each rests on the ground, on another block or on a pinned one; only
 * such packings are looked for. The floor of a section is below all blocks that are still to be placed
 * in it: it rises with what is placed and with the least offsets of what is left, and the other way
 * round. Where the blocks that are left in a section reach above the capacity from their least
 * offsets, there is no packing. A block with an alignment rests at the next multiple of it.
 *
 * Otherwise than there, a branch is about one block: it lies at its least offset, or it does not, and
 * then it rests on another that is still to come. The block is one of those in a valley, a run of
 * sections with one floor between higher ones, where all that lie on the floor are within the valley;
 * and it is taken from the section in which fewest could lie on the floor.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

enum { FITS = 1, FITS_NOT = 0, GIVEN_UP = -1, NO_MEMORY = -2 };
enum { FEWEST_THEN_LOWEST, FEWEST_THEN_TIGHTEST, LOWEST }; /* rules: which section is next */

typedef struct {
    int64_t *at;
    int64_t old;
} Change;

typedef struct {
    int block;
    size_t changes; /* before it was placed */
} Decision;

typedef struct {
    int blocks, sections, pins;
    const int32_t *first, *end; /* of each block: it is live in sections first <= s < end */
    const int64_t *size;
    const int64_t *multiple; /* of each block: a power of two that its offset is a multiple of */
    const double *score; /* the block with the highest is tried first */
    double lookahead;
    int rule;
    int64_t capacity;
    int *cover, *cover_at; /* blocks of section s: cover[cover_at[s]] to before cover[cover_at[s + 1]] */
    int *twin;             /* the block before it that is like it, or -1 */
    int32_t *pin_first, *pin_end;
    int64_t *pin_low, *pin_high; /* by address */
    /* What changes, and is put back: */
    int64_t *floor, *left; /* of each section: its floor, units still to be placed */
    int64_t *low;          /* of each block: its least offset, or where it lies */
    int64_t *placed;       /* of each block */
    Change *change;
    size_t changes, room;
    int no_memory;
    /* Sections to be looked at again, and those whose bound may have risen. */
    int *queue, queued;
    char *in_queue, *touched;
    int64_t *sorted_low, *sorted_size;
} Search;

static void set(Search *search, int64_t *at, int64_t value) {
    if (search->changes == search->room) {
        size_t room = 2 * search->room;
        Change *more = realloc(search->change, room * sizeof *more);
        if (!more) {
            search->no_memory = 1;
            *at = value;
            return;
        }
        search->change = more;
        search->room = room;
    }
    search->change[search->changes++] = (Change){at, *at};
    *at = value;
}

static void undo(Search *search, size_t changes) {
    while (search->changes > changes) {
        Change *last = &search->change[--search->changes];
        *last->at = last->old;
    }
}

static void look_at(Search *search, int section) {
    search->touched[section] = 1;
    if (!search->in_queue[section]) {
        search->in_queue[section] = 1;
        search->queue[search->queued++] = section;
    }
}

static int failed(Search *search) {
    while (search->queued)
        search->in_queue[search->queue[--search->queued]] = 0;
    memset(search->touched, 0, (size_t)search->sections);
    return 0;
}

static int64_t aligned(const Search *search, int block, int64_t low) {
    return (low + search->multiple[block] - 1) & -search->multiple[block];
}

/* Lets a block begin no lower than `low`, and above the pins that it would meet there. */
static int raised(Search *search, int block, int64_t low) {
    low = aligned(search, block, low);
    for (int pin = 0; pin < search->pins; pin++)
        if (search->pin_first[pin] < search->end[block] && search->first[block] < search->pin_end[pin] &&
            low < search->pin_high[pin] && low + search->size[block] > search->pin_low[pin])
            low = aligned(search, block, search->pin_high[pin]);
    if (low <= search->low[block])
        return 1;
    if (low > search->capacity - search->size[block])
        return 0;
    set(search, &search->low[block], low);
    for (int section = search->first[block]; section < search->end[block]; section++)
        look_at(search, section);
    return 1;
}

static int64_t pinned_above(const Search *search, int section) {
    int64_t sum = 0;
    for (int pin = 0; pin < search->pins; pin++)
        if (search->pin_first[pin] <= section && section < search->pin_end[pin] &&
            search->pin_low[pin] >= search->floor[section])
            sum += search->pin_high[pin] - search->pin_low[pin];
    return sum;
}

/* Whether the blocks left in a section fit, of which none lies below its least offset. */
static int within(Search *search, int section) {
    const int *cover = search->cover + search->cover_at[section];
    int count = search->cover_at[section + 1] - search->cover_at[section], sorted = 0;
    int64_t highest = 0, sum = 0;
    for (int number = 0; number < count; number++)
        if (!search->placed[cover[number]] && search->low[cover[number]] > highest)
            highest = search->low[cover[number]];
    if (highest + search->left[section] <= search->capacity)
        return 1;
    for (int number = 0; number < count; number++) {
        if (search->placed[cover[number]])
            continue;
        int64_t low = search->low[cover[number]];
        int at = sorted++;
        for (; at && search->sorted_low[at - 1] < low; at--) {
            search->sorted_low[at] = search->sorted_low[at - 1];
            search->sorted_size[at] = search->sorted_size[at - 1];
        }
        search->sorted_low[at] = low;
        search->sorted_size[at] = search->size[cover[number]];
    }
    for (int at = 0; at < sorted; at++) {
        sum += search->sorted_size[at];
        if (search->sorted_low[at] + sum > search->capacity)
            return 0;
    }
    return 1;
}

/* Raises floors and least offsets until none raises another; 0: something does not fit. */
static int settled(Search *search) {
    while (search->queued) {
        int section = search->queue[--search->queued];
        search->in_queue[section] = 0;
        const int *cover = search->cover + search->cover_at[section];
        int count = search->cover_at[section + 1] - search->cover_at[section];
        int64_t least = INT64_MAX;
        for (int number = 0; number < count; number++)
            if (!search->placed[cover[number]] && search->low[cover[number]] < least)
                least = search->low[cover[number]];
        if (least == INT64_MAX)
            continue; /* nothing is left to place there */
        if (least > search->floor[section])
            set(search, &search->floor[section], least);
        int64_t floor = search->floor[section];
        if (floor > search->capacity - search->left[section] - pinned_above(search, section))
            return failed(search);
        if (floor > least)
            for (int number = 0; number < count; number++)
                if (!search->placed[cover[number]] && search->low[cover[number]] < floor &&
                    !raised(search, cover[number], floor))
                    return failed(search);
    }
    for (int section = 0; section < search->sections; section++)
        if (search->touched[section]) {
            search->touched[section] = 0;
            if (!within(search, section))
                return failed(search);
        }
    return 1;
}

static int placed(Search *search, int block) {
    int64_t top = search->low[block] + search->size[block];
    set(search, &search->placed[block], 1);
    for (int section = search->first[block]; section < search->end[block]; section++) {
        set(search, &search->left[section], search->left[section] - search->size[block]);
        set(search, &search->floor[section], top);
        look_at(search, section);
    }
    return settled(search);
}

/* A block that may lie on a floor; of blocks that are alike and may, the first. */
static int may_lie(const Search *search, int block, int64_t floor) {
    int twin = search->twin[block];
    return !search->placed[block] && search->low[block] == floor &&
           (twin < 0 || search->placed[twin] || search->low[twin] != floor);
}

/* The section to go on in: one of a valley. */
static int next_section(const Search *search) {
    int next = -1, fewest = 0;
    int64_t least = 0, before = INT64_MAX; /* the floor of the open section before a run */
    for (int begin = 0, end; begin < search->sections; begin = end) {
        int64_t floor = search->left[begin] ? search->floor[begin] : INT64_MAX, after = INT64_MAX;
        for (end = begin + 1; end < search->sections; end++) {
            after = search->left[end] ? search->floor[end] : INT64_MAX;
            if (after != floor)
                break;
        }
        int valley = floor < before && (end == search->sections || floor < after);
        before = floor;
        if (!valley)
            continue;
        for (int section = begin; section < end; section++) {
            int count = 0;
            int64_t order = floor;
            if (search->rule == FEWEST_THEN_TIGHTEST)
                order = search->capacity - floor - search->left[section];
            if (search->rule != LOWEST)
                for (int at = search->cover_at[section]; at < search->cover_at[section + 1]; at++)
                    count += may_lie(search, search->cover[at], floor);
            if (next < 0 || count < fewest || (count == fewest && order < least)) {
                next = section;
                fewest = count;
                least = order;
            }
        }
    }
    return next;
}

/* How tight the sections are: the more, the fewer ways there are to go on. */
static double tightness(const Search *search) {
    double sum = 0;
    for (int section = 0; section < search->sections; section++)
        if (search->left[section])
            sum -= log((double)(search->capacity - search->floor[section] - search->left[section]) + 1);
    return sum;
}

/* The block to branch on: that with the highest score, or one that cannot lie on the floor. */
static int next_block(Search *search) {
    int section = next_section(search), next = -1;
    double highest = 0;
    int64_t floor = search->floor[section];
    for (int at = search->cover_at[section]; at < search->cover_at[section + 1]; at++) {
        int block = search->cover[at];
        if (!may_lie(search, block, floor))
            continue;
        double score = search->score[block];
        if (search->lookahead > 0) {
            size_t changes = search->changes;
            int fits = placed(search, block);
            if (fits)
                score -= search->lookahead * tightness(search);
            undo(search, changes);
            if (!fits)
                return block;
        }
        if (next < 0 || score > highest) {
            next = block;
            highest = score;
        }
    }
    return next;
}

/* Lets a block that does not lie at its least offset rest on one that is still to come. */
static int lifted(Search *search, int block) {
    int64_t rest = INT64_MAX, low = search->low[block];
    for (int other = 0; other < search->blocks; other++)
        if (other != block && !search->placed[other] && search->first[other] < search->end[block] &&
            search->first[block] < search->end[other] && search->low[other] + search->size[other] < rest)
            rest = search->low[other] + search->size[other];
    for (int pin = 0; pin < search->pins; pin++)
        if (search->pin_first[pin] < search->end[block] && search->first[block] < search->pin_end[pin] &&
            search->pin_high[pin] > low && search->pin_high[pin] < rest)
            rest = search->pin_high[pin];
    if (rest == INT64_MAX)
        return 0;
    for (int like = 0; like < search->blocks; like++)
        if (!search->placed[like] && search->size[like] == search->size[block] &&
            search->multiple[like] == search->multiple[block] &&
            search->first[like] == search->first[block] && search->end[like] == search->end[block] &&
            !raised(search, like, rest))
            return failed(search);
    return settled(search);
}

static int searched(Search *search, Decision *decision, int64_t limit, const volatile int32_t *stop) {
    int depth = 0;
    while (depth < search->blocks) {
        if (search->no_memory)
            return NO_MEMORY;
        if (!limit-- || *stop)
            return GIVEN_UP;
        int block = next_block(search);
        decision[depth++] = (Decision){block, search->changes};
        int goes_on = placed(search, block);
        while (!goes_on) {
            if (!depth)
                return FITS_NOT;
            Decision last = decision[--depth];
            undo(search, last.changes);
            goes_on = lifted(search, last.block);
        }
    }
    return FITS;
}

/*
 * Looks for offsets of blocks.
 *
 * Args:
 *     first, end: sections in which each block is live, each of which some block is live in.
 *     size, pin_low, pin_high, capacity: units; sums are below 2^63. Pins are sorted by address, do not
 *         overlap, and end below the capacity.
 *     multiple: units, powers of two that offsets are multiples of.
 *     score: of the blocks that could lie on a floor the highest is tried first.
 *     lookahead: how much a score falls with the tightness that a block leads to; 0: not looked at.
 *     rule: which section is next.
 *     limit: steps after which it is given up.
 *     stop: not 0: it is given up.
 *     offset: where each block lies, written if they fit.
 */
EXPORTED int planner_fit(int32_t blocks, int32_t sections, const int32_t *first, const int32_t *end,
                         const int64_t *size, const int64_t *multiple, int32_t pins, const int32_t *pin_first,
                         const int32_t *pin_end, const int64_t *pin_low, const int64_t *pin_high,
                         const double *score, double lookahead, int32_t rule, int64_t capacity,
                         int64_t limit, const volatile int32_t *stop, int64_t *offset) {
    size_t n = (size_t)blocks, m = (size_t)sections, all = 0;
    for (int block = 0; block < blocks; block++)
        all += (size_t)(end[block] - first[block]);
    Search search = {.blocks = blocks, .sections = sections, .pins = pins, .first = first, .end = end,
                     .size = size, .multiple = multiple, .score = score, .lookahead = lookahead, .rule = rule,
                     .capacity = capacity, .pin_first = (int32_t *)pin_first,
                     .pin_end = (int32_t *)pin_end, .pin_low = (int64_t *)pin_low,
                     .pin_high = (int64_t *)pin_high, .room = 4096};
    int64_t *numbers = calloc(4 * n + 2 * m, sizeof *numbers);
    int *places = malloc((all + 2 * m + n + 1) * sizeof *places);
    char *marks = calloc(2 * m, 1);
    Decision *decision = malloc(n * sizeof *decision);
    search.change = malloc(search.room * sizeof *search.change);
    int found = NO_MEMORY;
    if (numbers && places && marks && decision && search.change) {
        search.floor = numbers, search.left = search.floor + m, search.low = search.left + m;
        search.placed = search.low + n, search.sorted_low = search.placed + n;
        search.sorted_size = search.sorted_low + n;
        search.cover = places, search.cover_at = places + all, search.queue = search.cover_at + m + 1;
        search.twin = search.queue + m;
        search.in_queue = marks, search.touched = marks + m;
        memset(search.cover_at, 0, (m + 1) * sizeof *search.cover_at);
        for (int block = 0; block < blocks; block++) {
            search.twin[block] = -1;
            for (int section = first[block]; section < end[block]; section++) {
                search.cover_at[section + 1]++;
                search.left[section] += size[block];
            }
        }
        for (int section = 0; section < sections; section++)
            search.cover_at[section + 1] += search.cover_at[section];
        for (int block = 0; block < blocks; block++)
            for (int section = first[block]; section < end[block]; section++)
                search.cover[search.cover_at[section]++] = block;
        for (int section = sections; section; section--)
            search.cover_at[section] = search.cover_at[section - 1];
        search.cover_at[0] = 0;
        for (int section = 0; section < sections; section++) {
            look_at(&search, section);
            for (int at = search.cover_at[section]; at < search.cover_at[section + 1]; at++) {
                int block = search.cover[at];
                if (first[block] != section)
                    continue;
                for (int before = search.cover_at[section]; before < at; before++) {
                    int like = search.cover[before];
                    if (first[like] == section && end[like] == end[block] && size[like] == size[block] &&
                        multiple[like] == multiple[block])
                        search.twin[block] = like;
                }
            }
        }
        int fits = 1;
        for (int block = 0; block < blocks && fits; block++)
            fits = size[block] <= capacity && raised(&search, block, 0);
        found = fits && settled(&search) ? searched(&search, decision, limit, stop) : FITS_NOT;
        if (found == FITS)
            memcpy(offset, search.low, n * sizeof *offset);
    }
    free(numbers);
    free(places);
    free(marks);
    free(decision);
    free(search.change);
    return found;
}
