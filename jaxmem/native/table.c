/* The table of an arena, as table.h has it; part of what includes it. */
#include "table.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "by_address.h"
#include "by_length.h"

enum { OPENED_AT_ONCE = 1 << 16, FIRST_NUMBERS = 4096 };
/* How many units a byte of each side array stands for, as powers of two. */
static const uint8_t units_a_byte[SIDES] = {3, 9, 3, 3, 4, 8, 12, 16, 20, 24, 28};

static _Noreturn void broken(const char *call, const void *address, const char *what)
{
    char text[256];
    int bytes = snprintf(text, sizeof text, "jaxmem: %s: %p %s\n", call, address, what);
    ssize_t written = write(STDERR_FILENO, text, (size_t)bytes);
    (void)written;
    signal(SIGABRT, SIG_DFL); /* a handler of the program's may ask for memory, and wait forever */
    abort();
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + 4095) & ~(size_t)4095;
}

static size_t side_bytes(uint32_t units, uint32_t side)
{
    return whole_pages(((size_t)units >> units_a_byte[side]) + 128);
}

static size_t table_bytes(uint32_t units, uint32_t shift)
{
    size_t bytes = whole_pages((size_t)units << shift);
    for (uint32_t side = 0; side < SIDES; side++)
        bytes += side_bytes(units, side);
    return bytes;
}

/* Lets the units from 0 to `units` be written, with what is kept of them. */
static bool opened(struct table *t, uint32_t units)
{
    for (uint32_t side = 0; side < SIDES; side++)
        if (mprotect(t->side[side], side_bytes(units, side), PROT_READ | PROT_WRITE) != 0)
            return false;
    size_t bytes = whole_pages((size_t)units << t->shift);
    if (mprotect(t->memory, bytes, PROT_READ | PROT_WRITE) != 0)
        return false;
    t->open = units;
    return true;
}

/* Makes sure that `units` can be written, and that holes find numbers. */
static bool grown(struct table *t, uint32_t units)
{
    if (units <= t->open)
        return true;
    uint32_t more = units / 8 > OPENED_AT_ONCE ? units / 8 : OPENED_AT_ONCE;
    more = more < t->limit - units ? more : t->limit - units;
    return opened(t, units + more) || opened(t, units);
}

static void *larger(void *old, size_t each, uint32_t before, uint32_t after)
{
    if (!old)
        old = mmap(NULL, whole_pages(each * after), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    else
        old = mremap(old, whole_pages(each * before), whole_pages(each * after), MREMAP_MAYMOVE);
    return old == MAP_FAILED ? NULL : old;
}

/* There are at most as many holes as blocks, and one more. */
static bool enough_numbers(struct table *t)
{
    uint32_t before = t->room, after = before ? 2 * before : FIRST_NUMBERS;
    if (t->live_blocks + 4 <= before)
        return true;
    void *hole = larger(t->hole, sizeof *t->hole, before, after);
    t->hole = hole ? hole : t->hole;
    void *waiting = hole ? larger(t->waiting, sizeof *t->waiting, before, after) : NULL;
    t->waiting = waiting ? waiting : t->waiting;
    if (!waiting)
        return false;
    if (t->kept & LISTED) {
        void *listed = larger(t->listed, sizeof *t->listed, before, after);
        t->listed = listed ? listed : t->listed;
        void *number = listed ? larger(t->number, sizeof *t->number, before, after) : NULL;
        t->number = number ? number : t->number;
        if (!number)
            return false;
    }
    t->room = after;
    return true;
}

static inline void set_begin(struct table *t, uint32_t at)
{
    t->begins[at >> 6] |= (uint64_t)1 << (at & 63);
    t->some_begin[at >> 12] |= (uint64_t)1 << (at >> 6 & 63);
}

static inline void clear_begin(struct table *t, uint32_t at)
{
    if (!(t->begins[at >> 6] &= ~((uint64_t)1 << (at & 63))))
        t->some_begin[at >> 12] &= ~((uint64_t)1 << (at >> 6 & 63));
}

static inline void set_bit(uint64_t *of, uint32_t at)
{
    of[at >> 6] |= (uint64_t)1 << (at & 63);
}

static inline void clear_bit(uint64_t *of, uint32_t at)
{
    of[at >> 6] &= ~((uint64_t)1 << (at & 63));
}

static inline uint32_t table_end(const struct table *t, uint32_t start)
{
    uint32_t at = start + 1, word = at >> 6; /* there is always a begin at `top` */
    uint64_t bits = t->begins[word] >> (at & 63);
    if (bits)
        return at + (uint32_t)__builtin_ctzll(bits);
    word++;
    uint32_t above = word >> 6;
    bits = t->some_begin[above] & ~(uint64_t)0 << (word & 63);
    while (!bits)
        bits = t->some_begin[++above];
    word = (above << 6) + (uint32_t)__builtin_ctzll(bits);
    return (word << 6) + (uint32_t)__builtin_ctzll(t->begins[word]);
}

/* Where the block or hole begins that has the unit `at`; there is always a begin at 0. */
static uint32_t begin_of(const struct table *t, uint32_t at)
{
    uint32_t word = at >> 6;
    uint64_t bits = t->begins[word] << (63 - (at & 63));
    if (bits)
        return at - (uint32_t)__builtin_clzll(bits);
    word--;
    uint32_t above = word >> 6;
    bits = t->some_begin[above] << (63 - (word & 63));
    if (bits) {
        word -= (uint32_t)__builtin_clzll(bits);
    } else {
        while (!t->some_begin[--above])
            ;
        word = (above << 6) + 63 - (uint32_t)__builtin_clzll(t->some_begin[above]);
    }
    return (word << 6) + 63 - (uint32_t)__builtin_clzll(t->begins[word]);
}

/* Bytes are written: what is left of those that never were is on one side. */
static inline void touch(struct table *t, uint64_t from, uint64_t to)
{
    if (from >= t->fresh_high || to <= t->fresh_low)
        return;
    if ((int64_t)(from - t->fresh_low) <= (int64_t)(t->fresh_high - to))
        t->fresh_low = to < t->fresh_high ? to : t->fresh_high;
    else
        t->fresh_high = from > t->fresh_low ? from : t->fresh_low;
}

static inline void mark_low(struct table *t, uint32_t id)
{
    uint32_t start = t->hole[id].start;
    *low_mark(t, start) = id;
    set_bit(t->holes, start);
    touch(t, (uint64_t)start << t->shift, ((uint64_t)start << t->shift) + sizeof id);
}

static inline void mark_high(struct table *t, uint32_t id)
{
    uint32_t end = t->hole[id].start + t->hole[id].length;
    *high_mark(t, end) = id;
    set_bit(t->holes, end - 1);
    touch(t, ((uint64_t)end << t->shift) - sizeof id, (uint64_t)end << t->shift);
}

static inline uint32_t new_number(struct table *t)
{
    uint32_t id = t->spare;
    if (id)
        t->spare = t->hole[id].next;
    else
        id = t->used++;
    if (t->kept & LISTED) {
        t->hole[id].place = t->count;
        t->number[t->count] = id;
    }
    t->count++;
    return id;
}

static inline void free_number(struct table *t, uint32_t id)
{
    t->count--;
    if (t->kept & LISTED) {
        uint32_t place = t->hole[id].place, last = t->number[t->count];
        t->listed[place] = t->listed[t->count];
        t->number[place] = last;
        t->hole[last].place = place;
    }
    t->hole[id].start = NOWHERE;
    t->hole[id].next = t->spare;
    t->spare = id;
}

/* The hole is in no index when this is called, and is in all that are kept after it. */
static inline void index_hole(struct table *t, uint32_t id, uint32_t start, uint32_t length)
{
    t->hole[id].start = start;
    t->hole[id].length = length;
    if (t->kept & LISTED)
        t->listed[t->hole[id].place] = (struct jaxmem_hole){start, start + length};
    if (t->kept & BY_LENGTH)
        length_add(t, id);
    if (t->kept & BY_ADDRESS)
        address_add(t, start, length);
}

static bool table_begin(struct table *t, char *room, uint32_t limit, uint32_t units, uint32_t shift,
                        uint32_t kept)
{
    t->memory = room;
    t->shift = shift;
    t->kept = kept;
    t->limit = units ? units : limit;
    t->units = units;
    t->used = 1;
    char *at = room + whole_pages((size_t)t->limit << shift);
    for (uint32_t side = 0; side < SIDES; at += side_bytes(t->limit, side++))
        t->side[side] = at;
    t->begins = (uint64_t *)(void *)t->side[BEGINS];
    t->some_begin = (uint64_t *)(void *)t->side[SOME_BEGIN];
    t->holes = (uint64_t *)(void *)t->side[HOLES];
    t->inner = (uint64_t *)(void *)t->side[INNER];
    for (uint32_t k = 0; k < LEVELS; k++)
        t->level[k] = (uint32_t *)(void *)t->side[LEVEL + k];
    t->fresh_high = (uint64_t)t->limit << shift;
    if (!enough_numbers(t) || !(units ? opened(t, units) : grown(t, 1)))
        return false;
    set_begin(t, 0);
    if (units) {
        t->top = units;
        set_begin(t, units);
        add_levels(t, units);
        uint32_t id = new_number(t);
        index_hole(t, id, 0, units);
        mark_low(t, id);
        mark_high(t, id);
    }
    return true;
}

/* The number of the hole for a block, and in `start` where in it the block goes; 0: none fits. */
static inline uint32_t chosen(struct table *t, uint32_t units, int fit, uint32_t *start)
{
    uint32_t id = 0, at = NOWHERE;
    switch (fit) {
    case JAXMEM_BEST_LOW:
    case JAXMEM_BEST_HIGH:
        id = shortest_that_fits(t, units);
        break;
    case JAXMEM_WORST_LOW:
        id = longest_if_it_fits(t, units);
        break;
    case JAXMEM_FIRST_LOW:
    case JAXMEM_LAST_HIGH:
        at = outermost_that_fits(t, units, fit == JAXMEM_LAST_HIGH);
        break;
    case JAXMEM_NEXT_LOW:
        if (t->cursor < t->top) {
            at = begin_of(t, t->cursor); /* of a hole in which the cursor lies, it may be */
            if (bit_at(t->holes, at) && table_end(t, at) - t->cursor >= units) {
                *start = t->cursor;
                return hole_from(t, at);
            }
            at = onward_that_fits(t, units, t->cursor);
        }
        if (at == NOWHERE)
            at = outermost_that_fits(t, units, false);
        break;
    }
    if (at != NOWHERE)
        id = hole_from(t, at);
    if (!id)
        return 0;
    bool high = fit == JAXMEM_BEST_HIGH || fit == JAXMEM_LAST_HIGH;
    *start = t->hole[id].start + (high ? t->hole[id].length - units : 0);
    return id;
}

/* Counts a block, and what of it was never written. */
static inline void count_block(struct table *t, uint32_t start, uint32_t units)
{
    uint32_t end = start + units;
    uint64_t low = (uint64_t)start << t->shift, high = (uint64_t)end << t->shift;
    t->clean_low = low > t->fresh_low ? low : t->fresh_low;
    t->clean_high = high < t->fresh_high ? high : t->fresh_high;
    touch(t, low, high);
    t->cursor = end;
    t->live_blocks++;
    t->live_units += units;
    t->peak_units = t->live_units > t->peak_units ? t->live_units : t->peak_units;
    t->high_water = end > t->high_water ? end : t->high_water;
}

/* Takes a block out of a hole. */
static inline void take(struct table *t, uint32_t id, uint32_t start, uint32_t units)
{
    uint32_t low = t->hole[id].start, length = t->hole[id].length;
    uint32_t high = low + length, end = start + units;
    count_block(t, start, units);
    if (t->kept & BY_LENGTH)
        length_drop(t, id);
    if (low == start)
        clear_bit(t->holes, low);
    if (high == end)
        clear_bit(t->holes, high - 1);
    set_begin(t, start);
    set_begin(t, end);
    if (low < start) {
        index_hole(t, id, low, start - low);
        mark_high(t, id);
        id = 0;
    }
    if (end < high) {
        id = id ? id : new_number(t);
        index_hole(t, id, end, high - end);
        mark_low(t, id);
        *high_mark(t, high) = id;
        id = 0;
    }
    if (id)
        free_number(t, id);
    if (t->kept & BY_ADDRESS)
        address_drop(t, low, length);
}

static uint32_t table_place(struct table *t, uint32_t units, int fit)
{
    if (!enough_numbers(t))
        return NO_MEMORY;
    uint32_t start, id = chosen(t, units, fit, &start);
    if (id) {
        take(t, id, start, units);
        return start;
    }
    start = t->top;
    if (t->units)
        return NOWHERE;
    if (units > t->limit - start || !grown(t, start + units))
        return NO_MEMORY;
    t->top = start + units;
    set_begin(t, t->top);
    if (t->kept & BY_ADDRESS)
        add_levels(t, t->top);
    count_block(t, start, units);
    return start;
}

static uint32_t table_place_at(struct table *t, uint32_t units, uint32_t start)
{
    if (!enough_numbers(t))
        return NO_MEMORY;
    bool low = bit_at(t->begins, start) && bit_at(t->holes, start);
    take(t, low ? hole_from(t, start) : hole_to(t, start + units), start, units);
    return start;
}

static bool table_is_free(const struct table *t, uint32_t units, uint32_t start)
{
    if ((uint64_t)start + units > t->top)
        return false;
    uint32_t low = begin_of(t, start);
    return bit_at(t->holes, low) && table_end(t, low) >= start + units;
}

static uint32_t table_place_inside(struct table *t, uint32_t units, uint32_t start)
{
    if (!enough_numbers(t))
        return NO_MEMORY;
    take(t, hole_from(t, begin_of(t, start)), start, units);
    return start;
}

static void table_free(struct table *t, uint32_t start)
{
    uint32_t end = table_end(t, start), low = start, high = end, id = 0;
    t->live_blocks--;
    t->live_units -= end - start;
    if (start && bit_at(t->holes, start - 1)) {
        id = hole_to(t, start);
        low = t->hole[id].start;
        clear_bit(t->holes, start - 1);
        clear_begin(t, start);
        if (t->kept & BY_LENGTH)
            length_drop(t, id);
    }
    if (end == t->top && !t->units) {
        clear_begin(t, end);
        t->top = low;
        if (id) {
            uint32_t length = t->hole[id].length;
            clear_bit(t->holes, low);
            free_number(t, id);
            if (t->kept & BY_ADDRESS)
                address_drop(t, low, length);
        }
        return;
    }
    uint32_t above = 0, longer = 0;
    if (end < t->top && bit_at(t->holes, end)) {
        above = hole_from(t, end);
        longer = t->hole[above].length;
        high = end + longer;
        clear_bit(t->holes, end);
        clear_begin(t, end);
        if (t->kept & BY_LENGTH)
            length_drop(t, above);
        if (id)
            free_number(t, above);
        else
            id = above;
    }
    if (!id)
        id = new_number(t);
    index_hole(t, id, low, high - low);
    mark_low(t, id);
    mark_high(t, id);
    if (above && (t->kept & BY_ADDRESS))
        address_drop(t, end, longer);
}

static uint32_t table_block(const struct table *t, const char *address, const char *call)
{
    size_t bytes = (size_t)(address - t->memory);
    uint32_t at = (uint32_t)(bytes >> t->shift);
    if ((bytes >> t->shift) >= t->top)
        broken(call, address, "is in memory that is free: its block was freed before, or never was");
    if (!(bytes & (((size_t)1 << t->shift) - 1))) {
        if (bit_at(t->begins, at) && !bit_at(t->holes, at))
            return at;
        if (bit_at(t->inner, at))
            return begin_of(t, at);
    }
    if (bit_at(t->holes, begin_of(t, at)))
        broken(call, address, "is in memory that is free: its block was freed before, or never was");
    broken(call, address, "is no address that was given out: it points into a block");
}
