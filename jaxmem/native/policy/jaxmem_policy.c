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
#if PLANS

/* A rectangle of a packing: units by requests. One that is pinned lies there already. */
struct box {
    int64_t low, size, birth, death;
    int pinned;
    int64_t first[2]; /* in which order boxes are stacked: the least first */
    uint32_t place;   /* of the forecast, if it is not pinned */
};

/* A block in a slot, until it is freed. */
struct held {
    uint32_t born;
    int64_t foretold, start, units; /* the request before which it should be freed */
};

struct plan {
    double ratio[GROUPS];                    /* of sizes over the forecast, by group */
    int64_t start[PLACES], length[PLACES];   /* of slots, units */
    struct held held[HELD];
    uint32_t many, packed, missed;           /* blocks held; packings; requests without a slot */
    int64_t onward;                          /* the place after the last */
    int dropped;
    int64_t found[2][PLACES];
    struct box box[PLACES + HELD], *order[PLACES + HELD], *by_low[PLACES + HELD];
};
const size_t jaxmem_policy_memory = sizeof(struct plan);

static int comes_before(const struct box *one, const struct box *other) {
    if (one->pinned != other->pinned)
        return one->pinned;
    if (one->first[0] != other->first[0])
        return one->first[0] < other->first[0];
    if (one->first[1] != other->first[1])
        return one->first[1] < other->first[1];
    return one < other;
}

/* Heapsort: the C library's own sort may ask for memory. */
static void sort(struct box **of, uint32_t count) {
    for (uint32_t left = count / 2, last = count; last > 1;) {
        struct box *moved;
        if (left) {
            moved = of[--left];
        } else {
            moved = of[--last];
            of[last] = of[0];
        }
        uint32_t at = left;
        for (uint32_t child = 2 * at + 1; child < last; child = 2 * at + 1) {
            child += child + 1 < last && comes_before(of[child], of[child + 1]);
            if (!comes_before(moved, of[child]))
                break;
            of[at] = of[child];
            at = child;
        }
        of[at] = moved;
    }
}

/* Stacks boxes, each as low as it can be beside those before it; returns the height. */
static int64_t stacked(struct plan *plan, uint32_t count, int64_t *found) {
    int64_t height = 0;
    sort(plan->order, count);
    for (uint32_t there = 0; there < count; there++) {
        struct box *box = plan->order[there];
        if (!box->pinned) {
            box->low = 0;
            for (uint32_t k = 0; k < there; k++) {
                const struct box *beside = plan->by_low[k];
                if (beside->birth >= box->death || beside->death <= box->birth)
                    continue;
                if (beside->low - box->low >= box->size)
                    break;
                if (beside->low + beside->size > box->low)
                    box->low = beside->low + beside->size;
            }
            found[box->place] = box->low;
        }
        uint32_t at = there;
        for (; at && plan->by_low[at - 1]->low > box->low; at--)
            plan->by_low[at] = plan->by_low[at - 1];
        plan->by_low[at] = box;
        if (box->low + box->size > height)
            height = box->low + box->size;
    }
    return height;
}

/* Packs the slots from a place on around the blocks that are held. */
static void pack(struct plan *plan, int64_t place, int64_t now, uint32_t alignment) {
    int64_t ahead = PLACES - place, height[2];
    plan->packed++;
    for (int64_t k = 0; k < PLACES; k++) {
        double units = ceil((double)FORECAST[k].size * plan->ratio[FORECAST[k].group] * (1 + MARGIN) /
                                (double)alignment - ROUNDING);
        units = units < 1 ? 1 : units;
        plan->length[k] = units > MOST_ADDRESS ? MOST_ADDRESS : (int64_t)units;
    }
    for (int by_area = 0; by_area < 2; by_area++) {
        uint32_t count = 0;
        for (uint32_t k = 0; k < plan->many; k++) {
            const struct held *held = &plan->held[k];
            int64_t left = held->foretold - now;
            left = left > 0 ? left : OUTLIVES - 2 * left;
            struct box box = {held->start, held->units, 0, left < ahead ? left : ahead, 1, {0, 0}, 0};
            plan->box[count++] = box;
        }
        for (int64_t k = place; k < PLACES; k++) {
            int64_t birth = k - place, death = birth + FORECAST[k].lifetime;
            death = death < ahead ? death : ahead;
            int64_t key = -plan->length[k] * (by_area ? death - birth : 1);
            int stays = death == ahead && (double)birth < EARLY_SHARE * (double)ahead;
            struct box box = {0, plan->length[k], birth, death, 0, {!stays, stays ? birth : key},
                              (uint32_t)k};
            plan->box[count++] = box;
        }
        for (uint32_t k = 0; k < count; k++)
            plan->order[k] = &plan->box[k];
        height[by_area] = stacked(plan, count, plan->found[by_area]);
    }
    const int64_t *found = plan->found[height[1] < height[0]];
    for (int64_t k = place; k < PLACES; k++)
        plan->start[k] = found[k];
}

/* Finds the next place of the forecast with a context, after the last the first; -1: none. */
static int64_t place_of(uint32_t context, uint64_t key, int64_t onward) {
    const struct context *of = CONTEXT[context];
    uint32_t least = 0, most = PLACES;
    while (least < most) {
        uint32_t middle = (least + most) / 2;
        int before = of[middle].key < key || (of[middle].key == key && of[middle].place < onward);
        least = before ? middle + 1 : least;
        most = before ? most : middle;
    }
    if (least < PLACES && of[least].key == key)
        return of[least].place;
    int64_t found = -1;
    while (least && of[least - 1].key == key)
        found = of[--least].place;
    return found;
}

/* Finds the slot of a block of `bytes` at a place. */
static int64_t slot_of(struct jaxmem_state *state, int64_t place, uint64_t bytes, int64_t units) {
    struct plan *plan = state->memory;
    uint32_t group = FORECAST[place].group;
    int64_t now = (int64_t)state->requests, start = plan->start[place];
    int again = place < plan->onward, is_held = 0;
    double foretold = AS_FORETOLD * (double)FORECAST[place].size * plan->ratio[group];
    int other = group != FIXED && (units > plan->length[place] || (double)bytes < foretold);
    plan->onward = place + 1;
    for (uint32_t k = 0; k < plan->many; k++)
        is_held |= plan->held[k].start < start + units &&
                   start < plan->held[k].start + plan->held[k].units;
    if (again || other || is_held) {
        if (plan->packed > MOST_PACKED + PACKED_EACH * (double)now / PLACES)
            return JAXMEM_NO_SLOT;
        if (other)
            plan->ratio[group] = (double)bytes / (double)FORECAST[place].size;
        pack(plan, place, now, state->alignment);
    }
    if (units > plan->length[place] || plan->many == HELD)
        return JAXMEM_NO_SLOT;
    struct held held = {(uint32_t)now, now + FORECAST[place].lifetime, plan->start[place], units};
    plan->held[plan->many++] = held;
    return held.start;
}

/* Follows the run through its forecast: the slot of a request, or what stands for none. */
static int32_t planned(struct jaxmem_state *state, uint64_t bytes, int64_t units) {
    struct plan *plan = state->memory;
    int64_t place = -1, slot = JAXMEM_NO_SLOT;
    if (plan->dropped)
        return JAXMEM_NO_PLAN;
    for (uint32_t i = 0; i < 3 && place < 0; i++)
        place = place_of(i, state->context[i] + CONTEXT_LENGTH[i], plan->onward);
    if (place >= 0)
        slot = slot_of(state, place, bytes, units);
    plan->missed += slot == JAXMEM_NO_SLOT;
    uint64_t longer = state->requests + 1 > PLACES ? state->requests + 1 : PLACES;
    plan->dropped = plan->missed > MOST_MISSED * (double)longer;
    if (plan->dropped)
        return JAXMEM_NO_PLAN;
    return slot > MOST_ADDRESS ? JAXMEM_NO_SLOT : (int32_t)slot;
}

static void begin_plan(struct plan *plan, uint32_t alignment) {
    plan->many = plan->packed = plan->missed = 0;
    plan->onward = plan->dropped = 0;
    for (uint32_t k = 0; k < GROUPS; k++)
        plan->ratio[k] = 1;
    for (uint32_t k = 0; k < PLACES; k++)
        plan->start[k] = FORECAST[k].start / alignment;
    pack(plan, PLAN_ALIGNMENT % alignment ? 0 : PLACES, 0, alignment);
    plan->packed = PLAN_ALIGNMENT % alignment != 0;
}

static void let_go(struct plan *plan, uint32_t born) {
    for (uint32_t k = plan->many; k-- > 0;)
        if (plan->held[k].born == born) {
            plan->held[k] = plan->held[--plan->many];
            return;
        }
}
#endif

void jaxmem_begin(struct jaxmem_state *state, uint32_t alignment, uint32_t sites,
                  struct jaxmem_kind *kinds, uint32_t room, void *memory) {
    static const struct jaxmem_state none;
    *state = none;
    state->alignment = alignment;
    state->sites = sites;
#if REMEMBERS
    state->unit = (float)log((double)alignment);
#endif
    state->kinds = kinds;
    state->room = room;
    state->memory = memory;
#if PLANS
    begin_plan(memory, alignment);
#endif
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
    request->planned = JAXMEM_NO_PLAN;
#if PLANS
    request->planned = planned(state, bytes, request->size);
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
#if PLANS
    let_go(state->memory, block.born);
#endif
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
#if PLANS
    if (request->planned != JAXMEM_NO_PLAN)
        return JAXMEM_LAST_HIGH; /* where its slot is not free: out of the way of others */
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
#if PLANS
    for (uint32_t i = 0; request->planned >= 0 && i < count; i++)
        if (holes[i].low <= (uint32_t)request->planned &&
            (int64_t)request->planned + request->size <= holes[i].high)
            return request->planned;
#endif
#if SCORES
    if (fit == JAXMEM_BY_HOLES)
        return start_by_score(request, arena, holes, count);
#endif
    return start_by_fit(fit, request->size, arena->cursor, holes, count);
}
