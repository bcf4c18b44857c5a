/* Plays events read from the standard input in a table, and writes where each block went.
 *
 *     u32 limit, units, shift, kept, blocks, events, { u32 what, block, units } ...
 *
 * what: an enum jaxmem_fit, or 99: the block is freed; 100: placed at the low end, 101: at the high
 * end of the hole in the list that comes first; from 1000 on: at the unit `what` - 1000, if it is free
 * there. Of each event there is a u32, the start or NOWHERE, then top, peak, high-water mark and the
 * count of holes. Every byte of a block is written.
 */
#define _GNU_SOURCE
#include <time.h>

#include "table.c"

static uint32_t *read_numbers(size_t count)
{
    uint32_t *of = malloc(4 * count + 4);
    if (!of || fread(of, 4, count, stdin) != count)
        exit(2);
    return of;
}

static uint32_t at_end(struct table *t, uint32_t units, bool high)
{
    for (uint32_t k = 0; k < t->count; k++) {
        struct jaxmem_hole hole = t->listed[k];
        if (hole.high - hole.low >= units)
            return table_place_at(t, units, high ? hole.high - units : hole.low);
    }
    return NOWHERE;
}

int main(int count, char **words)
{
    static struct table table;
    bool quietly = count > 1 && words[1][0] == 'q'; /* blocks are not written: for timing */
    uint32_t *head = read_numbers(6), blocks = head[4], events = head[5];
    uint32_t *event = read_numbers(3 * (size_t)events);
    uint32_t *start = malloc(4 * (size_t)blocks + 4), *found = malloc(4 * (size_t)events + 16);
    char *room = mmap(NULL, table_bytes(head[0], head[2]), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED || !table_begin(&table, room, head[0], head[1], head[2], head[3]))
        return 3;
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (uint32_t k = 0; k < events; k++) {
        uint32_t what = event[3 * k], block = event[3 * k + 1], units = event[3 * k + 2], at;
        if (what == 99) {
            at = start[block];
            if (at != NOWHERE) {
                if (table_block(&table, table.memory + ((size_t)at << table.shift), "free") != at)
                    return 6;
                table_free(&table, at);
            }
        } else {
            if (what >= 1000)
                at = table_is_free(&table, units, what - 1000)
                         ? table_place_inside(&table, units, what - 1000) : NOWHERE;
            else
                at = what >= 100 ? at_end(&table, units, what == 101)
                                 : table_place(&table, units, (int)what);
            start[block] = at;
            if (at < NO_MEMORY && !quietly) {
                char *memory = table.memory + ((size_t)at << table.shift);
                uint64_t low = ((uint64_t)at << table.shift), clean = table.clean_low;
                for (; clean < table.clean_high; clean++) /* what calloc would not clear */
                    if (table.memory[clean])
                        return 4;
                if (low + ((uint64_t)units << table.shift) != (uint64_t)table_end(&table, at) << table.shift)
                    return 5;
                memset(memory, 0xa5, (size_t)units << table.shift);
            }
        }
        found[k] = at;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    double ns = 1e9 * (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec);
    fprintf(stderr, "%.1f\n", ns / events);
    uint32_t last[4] = {table.top, table.peak_units, table.high_water, table.count};
    memcpy(found + events, last, 16);
    fwrite(found, 4, (size_t)events + 4, stdout);
    free(head);
    free(event);
    free(start);
    free(found);
    return 0;
}
