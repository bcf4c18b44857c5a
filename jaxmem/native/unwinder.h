/* Return addresses above a call of malloc, from the tables that compilers leave for exceptions.
 *
 * Frame pointers are not there, and a scan of the stack would run into what is not; `backtrace`
 * costs ten times as much.
 */
#ifndef JAXMEM_UNWINDER_H
#define JAXMEM_UNWINDER_H

#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { RULES = 1 << 16, MOST_DEPTH = 32, NO_CODE = 4096 }; /* the last: addresses below hold none */

/* How the caller's frame is found from an address within a function (DWARF's call frame
 * information): the canonical frame address is a register and an offset, or what stands there. */
struct rule {
    int32_t cfa_offset;
    int16_t rbp_at; /* from the canonical frame address; 0: the caller has the same */
    int8_t base;    /* RSP, RBP, or AT_RBP: what stands at rbp + offset */
    int8_t known;
};
enum { END = 0, RSP = 1, RBP = 2, AT_RBP = 3 };

struct cached {
    _Atomic uint64_t key; /* the address, with the generation of loaded modules above it; 1: busy */
    struct rule rule;
};

/* As in <dlfcn.h> of glibc 2.35 and later, which older headers lack. */
struct object {
    unsigned long long flags;
    void *map_start, *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

static _Atomic uint64_t generation = 1; /* of loaded modules: another one may lie where one was */
static int (*find_object)(void *, struct object *); /* NULL: glibc has none */

static uint64_t uleb(const uint8_t **at)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128))
            return value;
    }
}

static int64_t sleb(const uint8_t **at)
{
    int64_t value = 0;
    int shift = 0;
    uint8_t byte;
    do {
        byte = *(*at)++;
        if (shift < 64)
            value |= (int64_t)((uint64_t)(byte & 127) << shift);
        shift += 7;
    } while (byte & 128);
    if (shift < 64 && (byte & 64))
        value |= -(int64_t)((uint64_t)1 << shift);
    return value;
}

static uint32_t u32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

static uint64_t u64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

/* A pointer of an FDE, in the encodings that x86-64 compilers use; false: another one. */
static bool pointer_at(const uint8_t **at, uint8_t encoding, uintptr_t *value)
{
    uintptr_t here = (uintptr_t)*at;
    switch (encoding & 15) {
    case 0: case 4: case 12: *value = u64(*at); *at += 8; break;
    case 3: *value = u32(*at); *at += 4; break;
    case 11: *value = (uintptr_t)(int64_t)(int32_t)u32(*at); *at += 4; break;
    default: return false;
    }
    if ((encoding & 112) == 16)
        *value += here;
    return (encoding & 112) == 0 || (encoding & 112) == 16;
}

struct frame_state {
    struct rule rule;
    int ra_at;
    bool lost; /* a rule that is not understood */
};

/* Runs instructions of a CIE or an FDE up to the address `pc`. */
static void run_instructions(const uint8_t *at, const uint8_t *end, uintptr_t location,
                             uintptr_t pc, uint64_t code_align, int64_t data_align,
                             const struct frame_state *first, struct frame_state *now)
{
    struct frame_state stack[8];
    int depth = 0;
    while (at < end && location <= pc) {
        uint8_t op = *at++;
        uint64_t reg;
        int64_t offset;
        switch (op & 192) {
        case 64:
            location += (op & 63) * code_align;
            continue;
        case 128:
            reg = op & 63;
            offset = (int64_t)uleb(&at) * data_align;
            goto saved;
        case 192:
            reg = op & 63;
            goto restored;
        }
        switch (op) {
        case 0x00: break;
        case 0x01: location = u64(at); at += 8; break;
        case 0x02: location += *at++ * code_align; break;
        case 0x03: location += (uint64_t)(at[0] | at[1] << 8) * code_align; at += 2; break;
        case 0x04: location += (uint64_t)u32(at) * code_align; at += 4; break;
        case 0x05: reg = uleb(&at); offset = (int64_t)uleb(&at) * data_align; goto saved;
        case 0x11: reg = uleb(&at); offset = sleb(&at) * data_align; goto saved;
        case 0x06: reg = uleb(&at); goto restored;
        case 0x07: reg = uleb(&at); if (reg == 16) now->ra_at = 0; break;
        case 0x08: reg = uleb(&at); if (reg == 6) now->rule.rbp_at = 0; break;
        case 0x09: reg = uleb(&at); uleb(&at); if (reg == 6 || reg == 16) now->lost = true; break;
        case 0x0a: if (depth < 8) stack[depth++] = *now; else now->lost = true; break;
        case 0x0b: if (depth > 0) { *now = stack[--depth]; } else now->lost = true; break;
        case 0x0c: case 0x12:
            reg = uleb(&at);
            offset = op == 0x0c ? (int64_t)uleb(&at) : sleb(&at) * data_align;
            now->rule.base = reg == 7 ? RSP : reg == 6 ? RBP : END;
            now->rule.cfa_offset = (int32_t)offset;
            break;
        case 0x0d:
            reg = uleb(&at);
            now->rule.base = reg == 7 ? RSP : reg == 6 ? RBP : END;
            break;
        case 0x0e: now->rule.cfa_offset = (int32_t)uleb(&at); break;
        case 0x13: now->rule.cfa_offset = (int32_t)(sleb(&at) * data_align); break;
        case 0x0f: {
            /* A realigned stack: the address stands at rbp + offset (DW_OP_breg6 n, deref). */
            uint64_t bytes = uleb(&at);
            const uint8_t *inside = at;
            at += bytes;
            now->rule.base = END;
            if (bytes >= 3 && inside[0] == 0x76) {
                inside++;
                int64_t n = sleb(&inside);
                if (inside + 1 == at && inside[0] == 0x06) {
                    now->rule.base = AT_RBP;
                    now->rule.cfa_offset = (int32_t)n;
                }
            }
            break;
        }
        case 0x10: case 0x16: {
            reg = uleb(&at);
            uint64_t bytes = uleb(&at);
            const uint8_t *inside = at;
            at += bytes;
            /* A realigned stack saves rbp at rbp itself (DW_OP_breg6 0): told by a mark. */
            if (reg == 6 && op == 0x10 && bytes == 2 && inside[0] == 0x76 && inside[1] == 0)
                now->rule.rbp_at = INT16_MAX;
            else if (reg == 6 || reg == 16)
                now->lost = true;
            break;
        }
        case 0x14: case 0x15: uleb(&at); op == 0x14 ? (void)uleb(&at) : (void)sleb(&at); break;
        case 0x2e: uleb(&at); break; /* DW_CFA_GNU_args_size */
        case 0x2d: break;
        case 0x2f: reg = uleb(&at); offset = -(int64_t)uleb(&at) * data_align; goto saved;
        default: now->lost = true; return;
        }
        continue;
    saved:
        if (reg == 6) {
            if (offset >= INT16_MAX || offset <= INT16_MIN) now->lost = true;
            now->rule.rbp_at = (int16_t)offset;
        }
        if (reg == 16)
            now->ra_at = (int)offset;
        continue;
    restored:
        if (reg == 6) now->rule.rbp_at = first->rule.rbp_at;
        if (reg == 16) now->ra_at = first->ra_at;
    }
}

/* The rule at an address, from the tables that compilers leave for exceptions. */
static struct rule rule_at(uintptr_t pc)
{
    struct rule none = {0, 0, END, 1};
    struct object found;
    if (!find_object || find_object((void *)pc, &found) != 0)
        return none;
    const uint8_t *header = found.eh_frame;
    if (!header || header[0] != 1 || header[2] != 0x03 || header[3] != 0x3b)
        return none;
    const uint8_t *at = header + 4;
    uintptr_t frames;
    if (!pointer_at(&at, header[1], &frames))
        return none;
    uint32_t low = 0, high = u32(at);
    const uint8_t *table = at + 4;
    if (!high)
        return none;
    while (high - low > 1) { /* the last FDE that begins at or before pc */
        uint32_t middle = low + (high - low) / 2;
        if ((uintptr_t)header + (uintptr_t)(int64_t)(int32_t)u32(table + 8 * middle) <= pc)
            low = middle;
        else
            high = middle;
    }
    const uint8_t *fde = header + (int32_t)u32(table + 8 * low + 4);
    uint32_t length = u32(fde);
    if (length == 0 || length == UINT32_MAX)
        return none;
    const uint8_t *fde_end = fde + 4 + length, *cie = fde + 4 - (int32_t)u32(fde + 4);
    uint32_t cie_length = u32(cie);
    if (cie_length == 0 || cie_length == UINT32_MAX)
        return none;
    const uint8_t *cie_end = cie + 4 + cie_length;
    at = cie + 8;
    uint8_t version = *at++;
    const char *augmentation = (const char *)at;
    at += strlen(augmentation) + 1;
    if (version != 1 && version != 3)
        return none;
    uint64_t code_align = uleb(&at);
    int64_t data_align = sleb(&at);
    if (version == 1) at++; else uleb(&at);
    uint8_t encoding = 0;
    bool signal = false;
    if (augmentation[0] == 'z') {
        uint64_t bytes = uleb(&at);
        const uint8_t *data = at;
        at += bytes;
        for (const char *what = augmentation + 1; *what; what++) {
            uintptr_t unused;
            if (*what == 'R') encoding = *data++;
            else if (*what == 'L') data++;
            else if (*what == 'P') { uint8_t how = *data++; if (!pointer_at(&data, how & 127, &unused)) return none; }
            else if (*what == 'S') signal = true;
            else return none;
        }
    } else if (augmentation[0]) {
        return none;
    }
    if (signal)
        return none;
    const uint8_t *in = fde + 8;
    uintptr_t begins, bytes;
    if (!pointer_at(&in, encoding, &begins) || !pointer_at(&in, encoding & 15, &bytes))
        return none;
    if (pc < begins || pc >= begins + bytes)
        return none;
    if (augmentation[0] == 'z') {
        uint64_t skipped = uleb(&in);
        in += skipped;
    }
    struct frame_state first = {{0, 0, END, 1}, 0, false}, now;
    run_instructions(at, cie_end, 0, UINTPTR_MAX, code_align, data_align, &first, &first);
    now = first;
    run_instructions(in, fde_end, begins, pc, code_align, data_align, &first, &now);
    return now.lost || now.ra_at != -8 ? none : now.rule;
}

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static struct rule known_rule(struct cached *cache, uintptr_t pc)
{
    uint64_t key = pc ^ atomic_load_explicit(&generation, memory_order_relaxed) << 48;
    uint64_t place = mixed(key);
    for (int tries = 0; tries < 8; tries++, place++) {
        struct cached *one = cache + place % RULES;
        uint64_t found = atomic_load_explicit(&one->key, memory_order_acquire);
        if (LIKELY(found == key))
            return one->rule;
        if (found == 0) {
            struct rule rule = rule_at(pc);
            if (atomic_compare_exchange_strong(&one->key, &found, 1)) {
                one->rule = rule;
                atomic_store_explicit(&one->key, key, memory_order_release);
            }
            return rule;
        }
    }
    return rule_at(pc);
}

/* The return addresses above a frame, at most `depth`: `first`, and those of its callers. */
static uint32_t unwound(struct cached *cache, uint32_t depth, uintptr_t first, uintptr_t rsp,
                        uintptr_t rbp, uintptr_t *chain)
{
    uint32_t many = 0;
    uintptr_t pc = first;
    while (many < depth && pc > NO_CODE) {
        chain[many++] = pc;
        if (many == depth)
            break;
        struct rule rule = known_rule(cache, pc - 1);
        uintptr_t cfa;
        if (rule.base == RSP)
            cfa = rsp + (intptr_t)rule.cfa_offset;
        else if (rule.base == RBP)
            cfa = rbp + (intptr_t)rule.cfa_offset;
        else if (rule.base == AT_RBP && rbp > rsp - 8)
            cfa = u64((const void *)(rbp + (intptr_t)rule.cfa_offset));
        else
            break;
        if (cfa <= rsp || cfa - rsp > (uintptr_t)1 << 30 || cfa % 8)
            break;
        pc = u64((const void *)(cfa - 8));
        if (rule.rbp_at == INT16_MAX)
            rbp = u64((const void *)rbp);
        else if (rule.rbp_at)
            rbp = u64((const void *)(cfa + rule.rbp_at));
        rsp = cfa;
    }
    return many;
}

/* Where malloc was called from, as `unwound` has it; only of a function that has a frame pointer,
 * and inlined there. */
#define UNWOUND(cache, depth, chain)                                                               \
    ({                                                                                             \
        uintptr_t *frame_ = __builtin_frame_address(0);                                            \
        unwound(cache, depth, (uintptr_t)__builtin_return_address(0), (uintptr_t)(frame_ + 2),     \
                frame_[0], chain);                                                                 \
    })

/* Inlined, so that UNWOUND sees the frame of the function that the program has called. */
#define IN_FRAME static inline __attribute__((always_inline))

#endif
