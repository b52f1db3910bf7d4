/* The walk through a graph of neighbours, over vectors in int8, and the cosines of what it met.

   Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using HNSW graphs",
   2016. A vertex of the lowest level is one record: the places of its neighbours, -1 after the last,
   then its vector, a byte a dimension, plus 128 so that one instruction multiplies it by the query's
   signed bytes. That adds the same to all scores of a query, so it is never taken off. The query's
   numbers have two bytes each: they cost no memory, and where one dimension is far larger than the
   others, these would else be lost. A call runs in the thread that makes it. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define X86
#endif

enum { LINE = 64 };
enum { AHEAD = 3 /* vectors that are fetched while one is compared */ };
enum { HIGH = 64 /* what the first byte of a query's number counts */ };
enum { MOST = 32 * HIGH /* of a query's numbers */ };
enum { SPREAD = 16 /* vertices met for each of the best that are kept: the first guess */ };
#define EXPANDED 0x80000000u

/* A level above the lowest: the places of its vertices, which ascend, and their links, as numbers
   of vertices of this level, -1 after the last. */
struct level {
    const int32_t *places, *links;
    int64_t vertices;
};

struct graph {
    const uint8_t *records;
    const uint16_t *vectors;    /* float16, `dimension` for each vertex */
    const float *scales;        /* what one step of each of a vector's bytes is */
    const struct level *levels; /* `depth` of them, the lowest first */
    int64_t depth, vertices, dimension, bytes; /* `bytes` of a vector, whole lines */
    int64_t links, upper_links, entry;         /* `entry`: a vertex of the highest level */
};

struct met {
    int32_t score;
    uint32_t vertex; /* with EXPANDED once its neighbours were met */
};

/* ---- Products ----------------------------------------------------------------------------- */

/* `n` bytes of a vector by a query's two bytes each: those worth HIGH, then those worth one. */
typedef int32_t (*int8_product)(const uint8_t *, const int8_t *, int64_t);
typedef float (*float16_product)(const uint16_t *, const float *, int64_t);

static int32_t int8_plain(const uint8_t *left, const int8_t *right, int64_t n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += left[i] * (HIGH * right[i] + right[n + i]);
    return sum;
}

static float widened(uint16_t half) {
#ifdef __aarch64__
    __fp16 number;
    memcpy(&number, &half, sizeof number);
    return number;
#else
    uint32_t exponent = half >> 10 & 31, rest = half & 1023;
    float size = exponent ? ldexpf((float)(rest | 1024), (int)exponent - 25)
                          : ldexpf((float)rest, -24);
    return half >> 15 ? -size : size;
#endif
}

static float float16_plain(const uint16_t *left, const float *right, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += widened(left[i]) * right[i];
    return sum;
}

#ifdef X86
#define TARGET(name) __attribute__((target(name)))

TARGET("avx2") static int32_t int8_avx2(const uint8_t *left, const int8_t *right, int64_t n) {
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t i = 0; i < n; i += 16) {
        __m256i some = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(left + i)));
        for (int part = 0; part < 2; part++) {
            __m128i other = _mm_loadu_si128((const __m128i *)(right + part * n + i));
            sums[part] = _mm256_add_epi32(
                sums[part], _mm256_madd_epi16(some, _mm256_cvtepi8_epi16(other)));
        }
    }
    __m256i sum =
        _mm256_add_epi32(_mm256_mullo_epi32(sums[0], _mm256_set1_epi32(HIGH)), sums[1]);
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

TARGET("avx2,fma,f16c")
static float float16_avx2(const uint16_t *left, const float *right, int64_t n) {
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int part = 0; part < 2; part++) {
            __m128i half = _mm_loadu_si128((const __m128i *)(left + i + 8 * part));
            sums[part] = _mm256_fmadd_ps(_mm256_cvtph_ps(half), _mm256_loadu_ps(right + i + 8 * part),
                                         sums[part]);
        }
    __m256 sum = _mm256_add_ps(sums[0], sums[1]);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four))) +
           float16_plain(left + i, right + i, n - i);
}

TARGET("avx512f,avx512bw,avx512vnni")
static int32_t int8_avx512(const uint8_t *left, const int8_t *right, int64_t n) {
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int64_t i = 0; i < n; i += LINE) {
        __m512i some = _mm512_loadu_si512(left + i);
        for (int part = 0; part < 2; part++)
            sums[part] =
                _mm512_dpbusd_epi32(sums[part], some, _mm512_loadu_si512(right + part * n + i));
    }
    __m512i high = _mm512_mullo_epi32(sums[0], _mm512_set1_epi32(HIGH));
    return _mm512_reduce_add_epi32(_mm512_add_epi32(high, sums[1]));
}
#endif

enum instructions { PLAIN, AVX2, AVX512 };

/* What this CPU has, and no more than `most`. */
int64_t instructions(int64_t most) {
#ifdef X86
    if (most >= AVX512 && __builtin_cpu_supports("avx512vnni") &&
        __builtin_cpu_supports("avx512bw"))
        return AVX512;
    if (most >= AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c"))
        return AVX2;
#endif
    (void)most;
    return PLAIN;
}

static void fetch(const void *memory, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += LINE)
        __builtin_prefetch((const char *)memory + at);
}

/* A query as `int8_product` takes it, `[2, bytes]`: products are in the order of cosines. */
static void round_query(const struct graph *graph, const float *query, int8_t *rounded) {
    float most = 1e-30f;
    for (int64_t i = 0; i < graph->dimension; i++)
        most = fmaxf(most, fabsf(query[i] * graph->scales[i]));
    /* Sums of products with bytes fit into 32 bits. */
    int64_t fits = INT32_MAX / (255 * graph->bytes), numbers = fits < MOST ? fits : MOST;
    float steps = (float)numbers / most;
    memset(rounded, 0, 2 * (size_t)graph->bytes);
    for (int64_t i = 0; i < graph->dimension; i++) {
        float whole = rintf(query[i] * graph->scales[i] * steps);
        if (!(fabsf(whole) <= MOST)) /* of what is no number, or has no end */
            whole = 0;
        float high = rintf(whole / HIGH);
        rounded[i] = (int8_t)high;
        rounded[graph->bytes + i] = (int8_t)(whole - HIGH * high);
    }
}

/* ---- The vertices that were met ------------------------------------------------------------ */

struct seen {
    int32_t *slots; /* 0, or a vertex plus 1 */
    int64_t mask, count;
};

static int64_t slot(const struct seen *seen, int32_t vertex) {
    int64_t at = (uint32_t)vertex * 2654435769u >> 7 & seen->mask;
    while (seen->slots[at] && seen->slots[at] != vertex + 1)
        at = (at + 1) & seen->mask;
    return at;
}

/* Whether it was not there, and is now; -1 where memory ran out. */
static int add(struct seen *seen, int32_t vertex) {
    if (2 * seen->count > seen->mask) {
        struct seen wider = {calloc(2 * (seen->mask + 1), sizeof(int32_t)), 2 * seen->mask + 1, 0};
        if (!wider.slots)
            return -1;
        for (int64_t at = 0; at <= seen->mask; at++)
            if (seen->slots[at])
                wider.slots[slot(&wider, seen->slots[at] - 1)] = seen->slots[at];
        wider.count = seen->count;
        free(seen->slots);
        *seen = wider;
    }
    int64_t at = slot(seen, vertex);
    if (seen->slots[at])
        return 0;
    seen->slots[at] = vertex + 1;
    seen->count++;
    return 1;
}

/* ---- The walk ------------------------------------------------------------------------------ */

/* Whether there is one of this number among so many: a file may say anything. */
static int among(int64_t number, int64_t count) { return number >= 0 && number < count; }

static const uint8_t *record(const struct graph *graph, int64_t vertex) {
    vertex = among(vertex, graph->vertices) ? vertex : 0;
    return graph->records + vertex * (graph->links * (int64_t)sizeof(int32_t) + graph->bytes);
}

static const uint8_t *vector(const struct graph *graph, int64_t vertex) {
    return record(graph, vertex) + graph->links * (int64_t)sizeof(int32_t);
}

/* The vertex of the lowest level that the upper ones lead to: the nearest of each in turn. */
static int32_t descend(const struct graph *graph, const int8_t *query, int8_product product) {
    int64_t at = graph->entry;
    for (int64_t depth = graph->depth - 1; depth >= 0; depth--) {
        const struct level *level = graph->levels + depth;
        int32_t best = product(vector(graph, level->places[at]), query, graph->bytes);
        for (int64_t from = -1; from != at;) {
            from = at;
            const int32_t *links = level->links + from * graph->upper_links;
            for (int64_t i = 0; i < graph->upper_links && among(links[i], level->vertices); i++)
                fetch(vector(graph, level->places[links[i]]), graph->bytes);
            for (int64_t i = 0; i < graph->upper_links && among(links[i], level->vertices); i++) {
                int32_t score =
                    product(vector(graph, level->places[links[i]]), query, graph->bytes);
                if (score > best) {
                    best = score;
                    at = links[i];
                }
            }
        }
        int32_t place = level->places[at];
        if (!depth)
            return among(place, graph->vertices) ? place : 0;
        const struct level *below = level - 1;
        int64_t low = 0, high = below->vertices - 1;
        while (low < high) {
            int64_t middle = (low + high) / 2;
            if (below->places[middle] < place)
                low = middle + 1;
            else
                high = middle;
        }
        at = low;
    }
    return (int32_t)at;
}

/* Put it where it belongs among `count` that are sorted, and keep `most`; -> where, or `most`. */
static int64_t insert(struct met *best, int64_t *count, int64_t most, struct met one) {
    if (*count == most && one.score <= best[most - 1].score)
        return most;
    int64_t low = 0, high = *count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (best[middle].score < one.score)
            high = middle;
        else
            low = middle + 1;
    }
    int64_t after = (*count < most ? *count : most - 1) - low;
    memmove(best + low + 1, best + low, (size_t)after * sizeof *best);
    best[low] = one;
    *count += *count < most;
    return low;
}

/* The `effort` best that a walk from the entry meets, best first; -> how many, or -1. */
static int64_t walk(const struct graph *graph, const int8_t *query, int64_t effort,
                    struct seen *seen, int32_t *next, struct met *best, int8_product product) {
    int32_t entry = descend(graph, query, product);
    memset(seen->slots, 0, (size_t)(seen->mask + 1) * sizeof(int32_t));
    seen->count = 0;
    int64_t count = 0;
    if (add(seen, entry) < 0)
        return -1;
    struct met first = {product(vector(graph, entry), query, graph->bytes), (uint32_t)entry};
    insert(best, &count, effort, first);
    for (int64_t at = 0; at < count;) {
        if (best[at].vertex & EXPANDED) {
            at++;
            continue;
        }
        const int32_t *links = (const int32_t *)record(graph, best[at].vertex);
        best[at].vertex |= EXPANDED;
        int64_t new = 0;
        for (int64_t i = 0; i < graph->links && among(links[i], graph->vertices); i++) {
            int added = add(seen, links[i]);
            if (added < 0)
                return -1;
            next[new] = links[i];
            new += added;
        }
        for (int64_t i = 0; i < new && i < AHEAD; i++)
            fetch(vector(graph, next[i]), graph->bytes);
        int64_t nearer = at + 1;
        for (int64_t i = 0; i < new; i++) {
            if (i + AHEAD < new)
                fetch(vector(graph, next[i + AHEAD]), graph->bytes);
            struct met one = {product(vector(graph, next[i]), query, graph->bytes),
                              (uint32_t)next[i]};
            int64_t where = insert(best, &count, effort, one);
            if (where < nearer)
                nearer = where;
        }
        at = nearer;
    }
    return count;
}

/* What was met, by the cosine of its float16 vector, best first, equal ones by place. */
static void refine(const struct graph *graph, const float *query, const struct met *best,
                   int64_t met, int64_t k, float *scores, int64_t *places,
                   float16_product product) {
    int64_t bytes = graph->dimension * (int64_t)sizeof(uint16_t), count = 0;
    for (int64_t i = 0; i < met && i < AHEAD; i++)
        fetch(graph->vectors + (best[i].vertex & ~EXPANDED) * graph->dimension, bytes);
    for (int64_t i = 0; i < met; i++) {
        if (i + AHEAD < met)
            fetch(graph->vectors + (best[i + AHEAD].vertex & ~EXPANDED) * graph->dimension, bytes);
        int64_t place = best[i].vertex & ~EXPANDED;
        float score = product(graph->vectors + place * graph->dimension, query, graph->dimension);
        int64_t at = count < k ? count++ : k;
        for (; at > 0 && (score > scores[at - 1] || (score == scores[at - 1] && place < places[at - 1]));
             at--)
            if (at < k) {
                scores[at] = scores[at - 1];
                places[at] = places[at - 1];
            }
        if (at < k) {
            scores[at] = score;
            places[at] = place;
        }
    }
    for (; count < k; count++) {
        scores[count] = -INFINITY;
        places[count] = -1;
    }
}

/* Whether the caller means the same graph: the bytes of its structures. */
int64_t layout(void) { return (int64_t)sizeof(struct graph) << 32 | (int64_t)sizeof(struct level); }

/* Of `count` queries `[count, dimension]`: the k best of the `candidates` that are best of `effort`,
   `[count, k]`, by no more of the CPU's instructions than `most`; -> 0, or -1 where memory ran
   out. */
int64_t search(const struct graph *graph, const float *queries, int64_t count, int64_t k,
               int64_t effort, int64_t candidates, float *scores, int64_t *places, int64_t most) {
    int8_product int8 = int8_plain;
    float16_product float16 = float16_plain;
    int64_t has = instructions(most);
#ifdef X86
    if (has >= AVX2) {
        float16 = float16_avx2;
        int8 = has == AVX512 ? int8_avx512 : int8_avx2;
    }
#else
    (void)has;
#endif
    int64_t slots = 1024, done = 0;
    while (slots < 2 * SPREAD * effort && slots < 4 * graph->vertices)
        slots *= 2;
    struct seen seen = {malloc((size_t)slots * sizeof(int32_t)), slots - 1, 0};
    struct met *best = malloc((size_t)effort * sizeof *best);
    int32_t *next = malloc((size_t)(graph->links + 1) * sizeof *next);
    int8_t *rounded = malloc(2 * (size_t)graph->bytes);
    while (seen.slots && best && next && rounded && done < count) {
        const float *query = queries + done * graph->dimension;
        round_query(graph, query, rounded);
        int64_t met = walk(graph, rounded, effort, &seen, next, best, int8);
        if (met < 0)
            break;
        refine(graph, query, best, met < candidates ? met : candidates, k, scores + done * k,
               places + done * k, float16);
        done++;
    }
    free(seen.slots);
    free(best);
    free(next);
    free(rounded);
    return done == count ? 0 : -1;
}
