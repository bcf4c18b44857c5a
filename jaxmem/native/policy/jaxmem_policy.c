#if FORETELLS

/* Returns what the profile has of a context, NULL if it has nothing. */
static const struct entry *entry_of(uint64_t key) {
    const uint32_t *run = &PROFILE_RUN[key >> PROFILE_SHIFT];
    for (uint32_t at = run[0]; at < run[1]; at++)
        if (PROFILE[at].key == key)
            return &PROFILE[at];
    return NULL;
}

/* A context is the call sites of the last requests, hashed: the sum of their keys times powers of
 * FACTOR, newest first, and their number. The longest that an earlier run has had tells most. */
static void foretell(struct jaxmem_state *state, uint64_t site, uint64_t bytes,
                     struct jaxmem_request *request) {
    uint64_t newest = state->sites ? site : (uint64_t)rint(SIZES_AN_OCTAVE * log2((double)bytes)) + 1;
    for (int i = 0; i < 3; i++) {
        uint64_t back = state->requests + JAXMEM_CONTEXT - CONTEXT_LENGTH[i];
        uint64_t gone = state->recent[back % JAXMEM_CONTEXT];
        state->context[i] = FACTOR * (newest + state->context[i]) - GONE_FACTOR[i] * gone;
        const struct entry *entry = entry_of(state->context[i] + CONTEXT_LENGTH[i]);
        if (entry && !request->foretold)
            request->foretold = entry->lifetime;
        if (entry && entry->exception > request->excepted)
            request->excepted = entry->exception;
    }
    state->recent[state->requests % JAXMEM_CONTEXT] = newest;
}
#endif
#if REMEMBERS

/* Returns the place of a kind in the table, which is taken if it is new and there is room. */
static uint32_t kind_of(struct jaxmem_state *state, uint64_t site, uint64_t bytes) {
    if (!state->room)
        return JAXMEM_NO_KIND;
    uint64_t hash = (site + bytes * UINT64_C(0x9E3779B97F4A7C15)) * UINT64_C(0xD6E8FEB86659FD93);
    uint32_t at = (uint32_t)(hash >> 32) & (state->room - 1);
    for (; state->kinds[at].bytes; at = (at + 1) & (state->room - 1))
        if (state->kinds[at].site == site && state->kinds[at].bytes == bytes)
            return at;
    if (state->used >= state->room - state->room / 8)
        return JAXMEM_NO_KIND;
    state->used++;
    state->kinds[at].site = site;
    state->kinds[at].bytes = bytes;
    return at;
}
#endif

void jaxmem_begin(struct jaxmem_state *state, uint32_t alignment, uint32_t sites,
                  struct jaxmem_kind *kinds, uint32_t room) {
    static const struct jaxmem_state none;
    *state = none;
    state->alignment = alignment;
    state->sites = sites;
#if REMEMBERS
    state->unit = (float)log((double)alignment);
#endif
    state->kinds = kinds;
    state->room = room;
}

void jaxmem_asked(struct jaxmem_state *state, uint64_t site, uint64_t bytes,
                  struct jaxmem_request *request, struct jaxmem_block *block) {
    static const struct jaxmem_request nothing_known;
    uint32_t kind = JAXMEM_NO_KIND;
    (void)site;
    *request = nothing_known;
    request->size = (uint32_t)((bytes + state->alignment - 1) / state->alignment);
#if FORETELLS
    foretell(state, site, bytes, request);
#endif
#if REMEMBERS
    kind = kind_of(state, site, bytes);
    if (kind != JAXMEM_NO_KIND) {
        request->died = (float)state->kinds[kind].died;
        request->lived = (float)state->kinds[kind].lived;
    }
    state->sizes += log((double)bytes);
    request->usual = (float)(state->sizes / (double)(state->requests + 1)) - state->unit;
    request->begins = !state->freed;
#endif
    if (block) {
        block->kind = kind;
        block->born = (uint32_t)state->requests;
    }
    state->requests++;
}

void jaxmem_freed(struct jaxmem_state *state, struct jaxmem_block block) {
    state->freed = 1;
    (void)block;
#if REMEMBERS
    if (block.kind != JAXMEM_NO_KIND) {
        uint32_t lifetime = (uint32_t)state->requests - block.born;
        state->kinds[block.kind].died++;
        state->kinds[block.kind].lived += log((double)lifetime);
    }
#endif
}
#if BY_SIZE

int jaxmem_fit(const struct jaxmem_request *request, const struct jaxmem_arena *arena) {
    (void)arena;
    return request->size > THRESHOLD ? LARGE_FIT : SMALL_FIT;
}
#endif
#if BY_CLASS

int jaxmem_fit(const struct jaxmem_request *request, const struct jaxmem_arena *arena) {
    int is_long = request->foretold > LONG, is_large = request->size > arena->units / PARTS;
#endif
#if EXCEPTS
    if (request->excepted)
        return EXCEPTION_FIT[request->excepted - 1];
#endif
#if BY_CLASS
    return request->foretold ? CLASS_FIT[is_long][is_large] : JAXMEM_BEST_LOW;
}
#endif
#if SCORES

/* Tiny: the mean live block, beside the arena. There is nothing to learn there. */
int jaxmem_fit(const struct jaxmem_request *request, const struct jaxmem_arena *arena) {
    (void)request;
    float tiny = TINY * (float)arena->units * (float)arena->live_blocks;
    return (float)arena->live_units < tiny ? JAXMEM_BEST_LOW : JAXMEM_BY_HOLES;
}
#endif

/* The hole with the least rank is taken, and of several the lowest. */
static uint32_t rank_of(int fit, struct jaxmem_hole hole, uint32_t size, uint32_t cursor) {
    switch (fit) {
    case JAXMEM_LAST_HIGH:
        return UINT32_MAX - hole.high;
    case JAXMEM_BEST_LOW:
    case JAXMEM_BEST_HIGH:
        return hole.high - hole.low;
    case JAXMEM_WORST_LOW:
        return UINT32_MAX - (hole.high - hole.low);
    case JAXMEM_NEXT_LOW:
        return cursor > hole.low && (uint64_t)cursor + size > hole.high;
    default:
        return 0;
    }
}

static int64_t start_by_fit(int fit, uint32_t size, uint32_t cursor, const struct jaxmem_hole *holes,
                            uint32_t count) {
    const struct jaxmem_hole *found = 0;
    uint64_t least = UINT64_MAX;
    for (const struct jaxmem_hole *hole = holes; hole < holes + count; hole++) {
        if (hole->high - hole->low < size)
            continue;
        uint64_t rank = (uint64_t)rank_of(fit, *hole, size, cursor) << 32 | hole->low;
        if (rank < least) {
            least = rank;
            found = hole;
        }
    }
    if (!found)
        return -1;
    if (fit == JAXMEM_LAST_HIGH || fit == JAXMEM_BEST_HIGH)
        return found->high - size;
    if (fit == JAXMEM_NEXT_LOW && cursor > found->low && (uint64_t)cursor + size <= found->high)
        return cursor;
    return found->low;
}
#if SCORES

/* Worth of an end of a hole, when all that the request decides has been summed: what a feature of
 * the hole or the end is multiplied by. */
struct worth {
    float left, root, exact, tightest, longest;          /* of the hole */
    float lowest, highest, high, address, squared, wall; /* of the end */
};

/* What the holes that are long enough have in common. */
struct common {
    int32_t size, cells, tightest, longest, lowest, highest;
    float unit, half;
};

static struct worth worth_of(const struct jaxmem_request *request, const struct jaxmem_arena *arena) {
    float unit = 1 / (float)arena->units, begins = (float)request->begins;
    float filled = (float)arena->live_units * unit;
    float size = logf((float)request->size * unit);
    float prior = PRIOR_ONE + PRIOR_SIZE * size + PRIOR_SIZE_SQUARED * size * size +
                  PRIOR_BEGINS * begins + PRIOR_BEGINS_SIZE * begins * size;
    /* The mean logarithm of the lifetimes of blocks like it, drawn towards what sizes tell. */
    float life = (SURE * prior + request->lived) / (SURE + request->died) / 3 - 1;
    float unusual = (logf((float)request->size) - request->usual) / 3;
    size = size / 3 + 1;
    struct worth worth = {
        .left = LEFT + LEFT_LIFE * life + LEFT_SIZE * size + LEFT_BEGINS * begins,
        .root = SQRT_LEFT + SQRT_LEFT_LIFE * life,
        .exact = EXACT,
        .tightest = TIGHTEST,
        .longest = LARGEST,
        .lowest = LOWEST,
        .highest = HIGHEST,
        .high = HIGH_END + HIGH_END_SIZE * size + HIGH_END_LIFE * life + HIGH_END_UNUSUAL * unusual +
                HIGH_END_BEGINS * begins,
        .address = ADDRESS + ADDRESS_SIZE * size + ADDRESS_LIFE * life + ADDRESS_UNUSUAL * unusual +
                   ADDRESS_LIVE * filled + ADDRESS_BEGINS * begins,
        .squared = ADDRESS_SQUARED + ADDRESS_SQUARED_LIFE * life,
        .wall = WALL + WALL_LIFE * life,
    };
    return worth;
}

static struct common common_of(const struct jaxmem_request *request,
                               const struct jaxmem_arena *arena, const struct jaxmem_hole *holes,
                               uint32_t count) {
    int32_t size = (int32_t)request->size;
    int32_t tightest = INT32_MAX, longest = 0, lowest = INT32_MAX, highest = -1;
    for (uint32_t i = 0; i < count; i++) {
        int32_t low = (int32_t)holes[i].low, high = (int32_t)holes[i].high, length = high - low;
        /* Without branches: -1 where it is too short, which leaves no other bit. */
        int32_t none = (length >= size) - 1, most = none & INT32_MAX;
        int32_t fitting = length | most, from = low | most, to = high | none;
        tightest = fitting < tightest ? fitting : tightest;
        longest = length > longest ? length : longest;
        lowest = from < lowest ? from : lowest;
        highest = to > highest ? to : highest;
    }
    float unit = 1 / (float)arena->units;
    struct common common = {
        .size = size,
        .cells = (int32_t)arena->units,
        .tightest = tightest,
        .longest = longest,
        .lowest = lowest,
        .highest = highest,
        .unit = unit,
        .half = (float)size * unit / 2,
    };
    return common;
}

#define AT_ONCE 64 /* holes; a loop without branches, of which compilers make vectors */

static void score(const struct worth *given, const struct common *of, const struct jaxmem_hole *holes,
                  uint32_t count, float *at_low, float *of_hole) {
    const struct worth worth = *given;
    const struct common common = *of;
    for (uint32_t i = 0; i < count; i++) {
        int32_t low = (int32_t)holes[i].low, high = (int32_t)holes[i].high, length = high - low;
        float left = (float)(length - common.size) * common.unit;
        int fits = length >= common.size, exact = length == common.size;
        int outermost = high == common.highest;
        float hole = worth.left * left + worth.root * sqrtf(left > 0 ? left : 0);
        hole += exact ? worth.exact : 0;
        hole += length == common.tightest ? worth.tightest : 0;
        hole += length == common.longest ? worth.longest : 0;
        float address = (float)low * common.unit + common.half;
        float sum = hole + address * (worth.address + worth.squared * address);
        sum += low == common.lowest ? worth.lowest : 0;
        sum += outermost & exact ? worth.highest : 0;
        sum += low == 0 ? worth.wall : 0;
        float low_end = fits ? sum : -INFINITY;
        address = (float)(high - common.size) * common.unit + common.half;
        sum = hole + worth.high + address * (worth.address + worth.squared * address);
        sum += outermost ? worth.highest : 0;
        sum += high == common.cells ? worth.wall : 0;
        at_low[i] = low_end;
        of_hole[i] = fits & (sum > low_end) ? sum : low_end;
    }
}

static int64_t start_by_score(const struct jaxmem_request *request,
                              const struct jaxmem_arena *arena, const struct jaxmem_hole *holes,
                              uint32_t count) {
    struct worth worth = worth_of(request, arena);
    struct common common = common_of(request, arena, holes, count);
    float best = -INFINITY;
    int64_t start = -1;
    for (uint32_t first = 0; first < count; first += AT_ONCE) {
        float at_low[AT_ONCE], of_hole[AT_ONCE];
        uint32_t here = count - first < AT_ONCE ? count - first : AT_ONCE;
        score(&worth, &common, holes + first, here, at_low, of_hole);
        for (uint32_t i = 0; i < here; i++) {
            struct jaxmem_hole hole = holes[first + i];
            if (of_hole[i] < best || hole.high - hole.low < request->size)
                continue;
            int64_t end = at_low[i] < of_hole[i] ? hole.high - request->size : hole.low;
            if (of_hole[i] > best || end < start)
                start = end;
            best = of_hole[i];
        }
    }
    return start;
}
#endif

int64_t jaxmem_choose(const struct jaxmem_request *request, const struct jaxmem_arena *arena,
                      const struct jaxmem_hole *holes, uint32_t count) {
    int fit = jaxmem_fit(request, arena);
#if SCORES
    if (fit == JAXMEM_BY_HOLES)
        return start_by_score(request, arena, holes, count);
#endif
    return start_by_fit(fit, request->size, arena->cursor, holes, count);
}
