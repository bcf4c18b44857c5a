/* How long an exported policy takes: nanoseconds of CPU, the least of some rounds. */

#include "jaxmem_policy.h"

#include <time.h>

static double nanoseconds_since(clock_t begin, uint32_t times) {
    return 1e9 * (double)(clock() - begin) / CLOCKS_PER_SEC / times;
}

/* Of a decision, in situations that have `holes_each` holes, one situation's after the other. */
double decision_time(const struct jaxmem_request *request, const struct jaxmem_arena *arena,
                     const struct jaxmem_hole *hole, uint32_t situations, uint32_t holes_each,
                     uint32_t rounds, int64_t *start) {
    enum { REPEATS = 200 };
    double least = 1e300;
    for (uint32_t round = 0; round < rounds; round++) {
        clock_t begin = clock();
        for (int repeat = 0; repeat < REPEATS; repeat++)
            for (uint32_t i = 0; i < situations; i++)
                start[i] = jaxmem_choose(&request[i], &arena[i], hole + i * holes_each, holes_each);
        double mean = nanoseconds_since(begin, REPEATS * situations);
        least = mean < least ? mean : least;
    }
    return least;
}

/* Of what is counted and looked up for a request, and when its block is freed. An event is a request
 * number; it is freed the second time it comes. */
double knowing_time(struct jaxmem_state *state, struct jaxmem_kind *kinds, uint32_t room,
                    const uint64_t *site, const uint64_t *bytes, uint32_t sites,
                    struct jaxmem_block *block, const uint32_t *event, const uint8_t *frees,
                    uint32_t events, uint32_t requests, uint32_t rounds) {
    static const struct jaxmem_kind none;
    double least = 1e300;
    for (uint32_t round = 0; round < rounds; round++) {
        struct jaxmem_request request;
        for (uint32_t i = 0; i < room; i++)
            kinds[i] = none;
        jaxmem_begin(state, 16, sites, kinds, room, 0);
        clock_t begin = clock();
        for (uint32_t i = 0; i < events; i++) {
            if (frees[i])
                jaxmem_freed(state, block[event[i]]);
            else
                jaxmem_asked(state, site[event[i]], bytes[event[i]], &request, &block[event[i]]);
        }
        double mean = nanoseconds_since(begin, requests);
        least = mean < least ? mean : least;
    }
    return least;
}
