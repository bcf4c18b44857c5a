/* The key of a call site: BLAKE2b (RFC 7693) of its name, as `jaxmem.recordings.sites` has it. */
#ifndef JAXMEM_SITE_KEY_H
#define JAXMEM_SITE_KEY_H

#include <stdint.h>
#include <string.h>

enum { HASH_BLOCK = 128, KEY_BYTES = 8 };

struct hashing {
    uint64_t state[8], bytes;
    uint8_t block[HASH_BLOCK];
    uint32_t filled;
};

static const uint64_t hash_begin[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};
static const uint8_t hash_order[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t turned(uint64_t x, int bits)
{
    return x >> bits | x << (64 - bits);
}

static inline void hash_mix(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = turned(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = turned(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = turned(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = turned(v[b] ^ v[c], 63);
}

static void hash_block(struct hashing *h, bool last)
{
    uint64_t v[16], m[16];
    memcpy(m, h->block, HASH_BLOCK);
    memcpy(v, h->state, 64);
    memcpy(v + 8, hash_begin, 64);
    v[12] ^= h->bytes;
    v[14] = last ? ~v[14] : v[14];
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = hash_order[round % 10];
        for (int k = 0; k < 4; k++) /* columns */
            hash_mix(v, k, 4 + k, 8 + k, 12 + k, m[s[2 * k]], m[s[2 * k + 1]]);
        for (int k = 0; k < 4; k++) /* diagonals */
            hash_mix(v, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4, m[s[8 + 2 * k]],
                     m[s[9 + 2 * k]]);
    }
    for (int k = 0; k < 8; k++)
        h->state[k] ^= v[k] ^ v[8 + k];
}

static void hash_bytes(struct hashing *h, const char *text, size_t bytes)
{
    for (size_t k = 0; k < bytes; k++) {
        if (h->filled == HASH_BLOCK) {
            hash_block(h, false);
            h->filled = 0;
        }
        h->block[h->filled++] = (uint8_t)text[k];
        h->bytes++;
    }
}

static void hash_start(struct hashing *h)
{
    memset(h, 0, sizeof *h);
    memcpy(h->state, hash_begin, 64);
    h->state[0] ^= 0x01010000 ^ KEY_BYTES;
}

/* The key of all that was hashed; never 0. */
static uint64_t hash_end(struct hashing *h)
{
    memset(h->block + h->filled, 0, HASH_BLOCK - h->filled);
    hash_block(h, true);
    return h->state[0] ? h->state[0] : 1;
}

#endif
