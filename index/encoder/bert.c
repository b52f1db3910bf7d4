/* The forward pass of BERT (Devlin et al., 2019), of texts of any lengths, without padding.

   Compiled for AVX2, for AVX-512 and for 64-bit Arm (NEON); tiles (AMX) and Arm's dot product are
   used where the CPU has them. A call runs in the thread that makes it. Rows of numbers are as wide
   as the next multiple of 16, and zero from the model's own width on: `size` stands for the former
   in what follows.

   Products of matrices are in one of three precisions. Their right side lies in panels of 16
   columns, in which the numbers that one instruction multiplies lie beside each other: one row of
   float32, two of bfloat16, four of int8, then those of the next column. In int8 a token's row has
   a scale of its own. On x86, which multiplies unsigned by signed numbers, it is shifted to 1..255;
   what that adds, 128 times the sum of a column of weights, is taken off afterwards. */

#ifdef _WIN32
#error "not tried on Windows, whose stack is not aligned for vectors"
#endif
#ifdef __aarch64__
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define WIDE(n, to) (((n) + (to) - 1) / (to) * (to))

enum precision { FLOAT32, BFLOAT16, INT8 };
enum number { F32, F16, BF16 };
enum activation { NONE, GELU, GELU_TANH, RELU, SILU };

enum { PANEL = 16, BLOCK = 32, STEP = 64 /* bytes of a row that a tile has */ };
enum { AHEAD = 4, GROUP = 64, STEPS = 96 /* tokens and steps that are multiplied at a time */ };

/* Numbers as a file of weights has them. */
struct tensor {
    const void *numbers;
    int64_t type; /* enum number */
};

/* [outputs, inputs]: in panels, or, in FLOAT32, as the file has it where it is not `panelled`.
   `scale`, and `shift`, which has been multiplied by it, are of each output in INT8. */
struct product {
    struct tensor weight;
    const float *bias, *scale, *shift;
    int64_t outputs, inputs, panelled;
};

struct norm {
    const float *scale, *bias;
};

struct layer {
    struct product query, key, value, output;
    struct norm attention_norm;
    struct product inner, outer;
    struct norm norm;
};

struct model {
    const struct layer *layers;
    struct tensor words, places, types; /* `types` may have no numbers */
    struct tensor last_key, last_value; /* weights of the last layer, as the file has them, or none */
    struct norm norm;
    int64_t depth, size, heads, inner;
    int64_t precision, activation, dot, bfloat16, tiles; /* the last three: whether to use them */
    double epsilon;
};

/* ---- Vectors of the CPU's own width ------------------------------------------------------- */

#ifdef __AVX512F__
enum { LANES = 16, ROWS = 8 };
typedef __m512 floats;
typedef __m512i wholes;
#define load _mm512_loadu_ps
#define store _mm512_storeu_ps
#define set _mm512_set1_ps
#define fma _mm512_fmadd_ps
#define largest _mm512_max_ps
#define least _mm512_min_ps
#define load_floats(p) _mm512_loadu_ps((const float *)(p))
#define load_wholes(p) _mm512_loadu_si512((const void *)(p))
#define store_wholes(p, x) _mm512_storeu_si512((void *)(p), x)
#define set_wholes _mm512_set1_epi32
#define to_floats _mm512_cvtepi32_ps
#define to_wholes _mm512_cvtps_epi32
#define sum_of _mm512_reduce_add_ps
#define largest_of _mm512_reduce_max_ps
#define dot_int8 _mm512_dpbusd_epi32
#define WITH_DOT
INLINE floats half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}
INLINE floats brain(const uint16_t *p) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}
INLINE floats absolute(floats x) { return _mm512_abs_ps(x); }
INLINE floats nearest(floats x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* x times two to the n */
INLINE floats scaled(floats x, floats n) { return _mm512_scalef_ps(x, n); }
INLINE void store_bytes(uint8_t *p, wholes x) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(x));
}
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 4 };
typedef __m256 floats;
typedef __m256i wholes;
#define load _mm256_loadu_ps
#define store _mm256_storeu_ps
#define set _mm256_set1_ps
#define fma _mm256_fmadd_ps
#define largest _mm256_max_ps
#define least _mm256_min_ps
#define load_floats(p) _mm256_loadu_ps((const float *)(p))
#define load_wholes(p) _mm256_loadu_si256((const __m256i *)(p))
#define store_wholes(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#define set_wholes _mm256_set1_epi32
#define to_floats _mm256_cvtepi32_ps
#define to_wholes _mm256_cvtps_epi32
#define dot_int8 _mm256_dpbusd_avx_epi32
#define WITH_DOT __attribute__((target("avxvnni")))
#define PAIRS
/* For CPUs without VNNI: two products of a byte each are added in 16 bits, where those of 255 and
   63 just fit. */
INLINE wholes dot_pairs(wholes sum, wholes left, wholes right) {
    const wholes pairs = _mm256_maddubs_epi16(left, right);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
INLINE float sum_of(floats x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
INLINE float largest_of(floats x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}
INLINE floats half(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
INLINE floats brain(const uint16_t *p) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
INLINE floats absolute(floats x) { return _mm256_andnot_ps(set(-0.0f), x); }
INLINE floats nearest(floats x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE floats scaled(floats x, floats n) {
    n = largest(n, set(-127.0f));
    return x * _mm256_castsi256_ps(_mm256_slli_epi32(to_wholes(n + set(127.0f)), 23));
}
INLINE void store_bytes(uint8_t *p, wholes x) {
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}
#else
enum { LANES = 4, ROWS = 8 };
typedef float32x4_t floats;
typedef int32x4_t wholes;
#define load vld1q_f32
#define store vst1q_f32
#define set vdupq_n_f32
#define fma(x, y, sum) vfmaq_f32(sum, x, y)
#define largest vmaxq_f32
#define least vminq_f32
#define load_floats(p) vld1q_f32((const float *)(p))
#define load_wholes(p) vld1q_s32((const int32_t *)(p))
#define store_wholes(p, x) vst1q_s32((int32_t *)(p), x)
#define set_wholes vdupq_n_s32
#define to_floats vcvtq_f32_s32
#define to_wholes vcvtnq_s32_f32
#define sum_of vaddvq_f32
#define largest_of vmaxvq_f32
#define absolute vabsq_f32
#define nearest vrndnq_f32
#define dot_int8(sum, left, right) vdotq_s32(sum, (int8x16_t)(left), (int8x16_t)(right))
#define WITH_DOT __attribute__((target("arch=armv8.2-a+dotprod")))
INLINE floats half(const uint16_t *p) { return vcvt_f32_f16((float16x4_t)vld1_u16(p)); }
INLINE floats brain(const uint16_t *p) {
    return (floats)vshlq_n_u32(vmovl_u16(vld1_u16(p)), 16);
}
INLINE floats scaled(floats x, floats n) {
    n = largest(n, set(-127.0f));
    return x * (floats)vshlq_n_s32(to_wholes(n + set(127.0f)), 23);
}
INLINE void store_bytes(uint8_t *p, wholes x) {
    const int16x4_t words = vmovn_s32(x);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    memcpy(p, &bytes, LANES);
}
#endif
enum { VECTORS = PANEL / LANES };

/* What is added to a token's bytes; and the way of computing in which there are no exceptions, and
   numbers too small for their form are 0: they take long. */
#ifdef __aarch64__
enum { SHIFT = 0, QUICK = 1 << 24 };
INLINE uint64_t way(void) {
    uint64_t bits;
    __asm__ volatile("mrs %0, fpcr" : "=r"(bits));
    return bits;
}
INLINE void set_way(uint64_t bits) { __asm__ volatile("msr fpcr, %0" ::"r"(bits) : "memory"); }
#else
enum { SHIFT = 128, QUICK = 0x9fc0 };
#define way _mm_getcsr
#define set_way _mm_setcsr
#endif

/* ---- Functions of numbers ------------------------------------------------------------------ */

/* Two to the x, for x of at most 126: minimax polynomials of degree 5 and 3 on [-0.5, 0.5], with
   relative errors of 2e-7 and 7.5e-5. */
INLINE floats power(floats x, int exact) {
    const floats whole = nearest(x);
    const floats part = x - whole;
    floats y;
    if (exact) {
        y = fma(set(0.00132765f), part, set(0.00967554f));
        y = fma(y, part, set(0.05550713f));
        y = fma(y, part, set(0.2402212f));
        y = fma(y, part, set(0.69314697f));
        y = fma(y, part, set(1.00000007f));
    } else {
        y = fma(set(0.05517157f), part, set(0.24261111f));
        y = fma(y, part, set(0.693261f));
        y = fma(y, part, set(0.99992807f));
    }
    return scaled(y, whole);
}

/* x times the logistic function of `at`. */
INLINE floats logistic(floats x, floats at) {
    return x / (set(1.0f) + power(least(at * set(-1.44269504f), set(126.0f)), 1));
}

/* x Phi(x), with the normal distribution function (Hendrycks and Gimpel, 2016): by the quotient
   of polynomials that Eigen and XLA use for erf in float32; or, to 2.2e-5 on [-3.8, 3.8], by one,
   which leaves 8e-5 of x below that. */
INLINE floats gelu(floats x, int exact) {
    if (exact) {
        floats z = x * set(0.7071067811865476f);
        z = largest(least(z, set(4.0f)), set(-4.0f));
        const floats s = z * z;
        floats p = fma(set(-2.72614225801306e-10f), s, set(2.77068142495902e-08f));
        p = fma(p, s, set(-2.10102402082508e-06f));
        p = fma(p, s, set(-5.69250639462346e-05f));
        p = fma(p, s, set(-7.34990630326855e-04f));
        p = fma(p, s, set(-2.95459980854025e-03f));
        p = fma(p, s, set(-1.60960333262415e-02f));
        floats q = fma(set(-1.45660718464996e-05f), s, set(-2.13374055278905e-04f));
        q = fma(q, s, set(-1.68282697438203e-03f));
        q = fma(q, s, set(-7.37332916720468e-03f));
        q = fma(q, s, set(-1.42647390514189e-02f));
        return set(0.5f) * x * (set(1.0f) + z * p / q);
    }
    const floats z = largest(least(x, set(3.8f)), set(-3.8f));
    const floats s = z * z;
    floats p = fma(set(-1.752903693e-09f), s, set(1.293546425e-07f));
    p = fma(p, s, set(-4.221753983e-06f));
    p = fma(p, s, set(8.137990969e-05f));
    p = fma(p, s, set(-0.001047606646f));
    p = fma(p, s, set(0.009642653018f));
    p = fma(p, s, set(-0.06610256147f));
    p = fma(p, s, set(0.3987854485f));
    return x * fma(p, z, set(0.5f));
}

INLINE floats activated(floats x, int activation, int exact) {
    switch (activation) {
    case GELU:
        return gelu(x, exact);
    case GELU_TANH: /* 1 + tanh(z) is 2 / (1 + exp(-2 z)) */
        return logistic(x, set(1.5957691216057308f) * fma(set(0.044715f) * x * x, x, x));
    case RELU:
        return largest(set(0.0f), x); /* the second where one is no number */
    case SILU:
        return logistic(x, x);
    default:
        return x;
    }
}

/* ---- Blocks of products -------------------------------------------------------------------- */

/* c [rows, 16 or 32] = a times panels, for up to 32 rows, added to c where `more` says so. Rows of
   `a` and `c` have so many bytes and numbers, panels, which have BYTES for a column in a step,
   follow each other by `panel` bytes; there are `steps` steps of an instruction: of one, two or
   four numbers a column. */
#define DEFINE_BLOCK(...) DEFINE_BLOCK_OF(__VA_ARGS__)
#define DEFINE_BLOCK_OF(NAME, KIND, AGAIN, STORE, BYTES, LOAD, LEFT, MULTIPLY)                     \
    static void NAME(const char *a, int64_t stride, const char *b, int64_t panel, int64_t steps,   \
                     float *made, int64_t width, int rows, int panels, int more) {                 \
        for (int p = 0; p < panels * VECTORS; p += 2) {                                            \
            const char *first = b + p / VECTORS * panel + (p & (VECTORS - 1)) * BYTES * LANES;     \
            const int alone = p + 1 == panels * VECTORS;                                           \
            const char *second = VECTORS > 1 ? first + BYTES * LANES                               \
                                 : alone     ? first                                               \
                                             : first + panel;                                      \
            for (int r = 0; r < rows; r += ROWS) {                                                 \
                const char *row = a + r * stride;                                                  \
                float *c = made + r * width + p * LANES;                                           \
                KIND sum[ROWS][2];                                                                 \
                for (int i = 0; i < ROWS; i++) {                                                   \
                    sum[i][0] = more ? AGAIN(c + i * width) : (KIND){0};                           \
                    sum[i][1] = more && !alone ? AGAIN(c + i * width + LANES) : (KIND){0};         \
                }                                                                                  \
                for (int64_t s = 0; s < steps; s++) {                                              \
                    const KIND left_half = LOAD(first + s * BYTES * PANEL);                        \
                    const KIND right_half = LOAD(second + s * BYTES * PANEL);                      \
                    for (int i = 0; i < ROWS; i++) {                                               \
                        const __typeof__(LEFT(row)) left = LEFT(row + i * stride + 4 * s);         \
                        sum[i][0] = MULTIPLY(sum[i][0], left, left_half);                          \
                        sum[i][1] = MULTIPLY(sum[i][1], left, right_half);                         \
                    }                                                                              \
                }                                                                                  \
                for (int i = 0; i < ROWS; i++) {                                                   \
                    STORE(c + i * width, sum[i][0]);                                               \
                    if (!alone)                                                                    \
                        STORE(c + i * width + LANES, sum[i][1]);                                   \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

INLINE int32_t four_bytes(const char *p) {
    int32_t bytes;
    memcpy(&bytes, p, 4);
    return bytes;
}
INLINE floats one_float(const char *p) {
    float number;
    memcpy(&number, p, 4);
    return set(number);
}
#define MULTIPLY_FLOATS(sum, left, right) fma(left, right, sum)
#define load_halves(p) half((const uint16_t *)(p))
#define load_brains(p) brain((const uint16_t *)(p))
#define SET_WHOLES(p) set_wholes(four_bytes(p))

#define IN_FLOATS floats, load_floats, store
#define IN_WHOLES wholes, load_wholes, store_wholes
DEFINE_BLOCK(block_float32, IN_FLOATS, 4, load_floats, one_float, MULTIPLY_FLOATS)
DEFINE_BLOCK(block_halves, IN_FLOATS, 2, load_halves, one_float, MULTIPLY_FLOATS)
DEFINE_BLOCK(block_brains, IN_FLOATS, 2, load_brains, one_float, MULTIPLY_FLOATS)
/* The only one with these instructions: a compiler that may use them makes them of others, too. */
WITH_DOT DEFINE_BLOCK(block_int8, IN_WHOLES, 4, load_wholes, SET_WHOLES, dot_int8)
#ifdef PAIRS
DEFINE_BLOCK(block_pairs, IN_WHOLES, 4, load_wholes, SET_WHOLES, dot_pairs)
#endif
#ifdef __AVX512BF16__
#define MULTIPLY_BRAIN(sum, left, right)                                                           \
    _mm512_dpbf16_ps(sum, (__m512bh)SET_WHOLES(left), (__m512bh)right)
INLINE const char *itself(const char *p) { return p; }
DEFINE_BLOCK(block_bfloat16, IN_FLOATS, 4, load_floats, itself, MULTIPLY_BRAIN)
#endif

#ifdef __AMX_TILE__
/* The same by tiles of 16 rows and 64 bytes: 0 to 3 are sums, 4 and 5 rows of a, 6 and 7 panels. */
#define IN_MEMORY __asm__ volatile("" ::: "memory") /* for loads that the compiler does not see */
#define BEGIN(TILE, C)                                                                             \
    if (more)                                                                                      \
        _tile_loadd(TILE, C, 4 * width);                                                           \
    else                                                                                           \
        _tile_zero(TILE)
#define DEFINE_TILES(NAME, MULTIPLY)                                                               \
    static void NAME(const char *a, int64_t stride, const char *b, int64_t panel, int64_t steps,   \
                     float *c, int64_t width, int rows, int panels, int more) {                    \
        IN_MEMORY;                                                                                 \
        if (rows > PANEL && panels == 2) {                                                         \
            float *below = c + 16 * width;                                                         \
            BEGIN(0, c);                                                                           \
            BEGIN(1, c + PANEL);                                                                   \
            BEGIN(2, below);                                                                       \
            BEGIN(3, below + PANEL);                                                               \
            for (int64_t s = 0; s < steps; s += 16) {                                              \
                _tile_loadd(6, b + s * STEP, STEP);                                                \
                _tile_loadd(4, a + s * 4, stride);                                                 \
                MULTIPLY(0, 4, 6);                                                                 \
                _tile_loadd(7, b + panel + s * STEP, STEP);                                        \
                MULTIPLY(1, 4, 7);                                                                 \
                _tile_loadd(5, a + 16 * stride + s * 4, stride);                                   \
                MULTIPLY(2, 5, 6);                                                                 \
                MULTIPLY(3, 5, 7);                                                                 \
            }                                                                                      \
            _tile_stored(0, c, 4 * width);                                                         \
            _tile_stored(1, c + PANEL, 4 * width);                                                 \
            _tile_stored(2, below, 4 * width);                                                     \
            _tile_stored(3, below + PANEL, 4 * width);                                             \
            return;                                                                                \
        }                                                                                          \
        for (int r = 0; r < rows; r += PANEL)                                                      \
            for (int p = 0; p < panels; p++) {                                                     \
                float *here = c + r * width + p * PANEL;                                           \
                BEGIN(0, here);                                                                    \
                for (int64_t s = 0; s < steps; s += 16) {                                          \
                    _tile_loadd(6, b + p * panel + s * STEP, STEP);                                \
                    _tile_loadd(4, a + r * stride + s * 4, stride);                                \
                    MULTIPLY(0, 4, 6);                                                             \
                }                                                                                  \
                _tile_stored(0, here, 4 * width);                                                  \
            }                                                                                      \
    }
DEFINE_TILES(tiles_int8, _tile_dpbusd)
DEFINE_TILES(tiles_bfloat16, _tile_dpbf16ps)

static void start_tiles(void) {
    struct {
        uint8_t palette, row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int tile = 0; tile < 8; tile++)
        shape.bytes[tile] = STEP, shape.rows[tile] = 16;
    IN_MEMORY;
    _tile_loadconfig(&shape);
}
#endif

/* As above; int8 gives whole numbers, and panels of float32 may be stored in another type. */
INLINE void block(const struct model *model, int precision, int type, const void *a, int64_t stride,
                  const void *b, int64_t panel, int64_t steps, float *c, int64_t width, int rows,
                  int panels, int more) {
#ifdef __AMX_TILE__
    if (model->tiles && precision == INT8) {
        tiles_int8(a, stride, b, panel, steps, c, width, rows, panels, more);
        return;
    }
    if (model->tiles && precision == BFLOAT16) {
        tiles_bfloat16(a, stride, b, panel, steps, c, width, rows, panels, more);
        return;
    }
#endif
    if (precision == INT8 && model->dot)
        block_int8(a, stride, b, panel, steps, c, width, rows, panels, more);
#ifdef PAIRS
    else if (precision == INT8)
        block_pairs(a, stride, b, panel, steps, c, width, rows, panels, more);
#endif
#ifdef __AVX512BF16__
    else if (precision == BFLOAT16)
        block_bfloat16(a, stride, b, panel, steps, c, width, rows, panels, more);
#endif
    else if (type == F32)
        block_float32(a, stride, b, panel, steps, c, width, rows, panels, more);
    else if (type == F16)
        block_halves(a, stride, b, panel, steps, c, width, rows, panels, more);
    else
        block_brains(a, stride, b, panel, steps, c, width, rows, panels, more);
}

/* ---- From one form to another -------------------------------------------------------------- */

/* LANES of a tensor's numbers. */
INLINE floats numbers_at(const void *numbers, int type, int64_t at) {
    return type == F32   ? load((const float *)numbers + at)
           : type == F16 ? half((const uint16_t *)numbers + at)
                         : brain((const uint16_t *)numbers + at);
}

/* 16 of a tensor's numbers, of which `count` are there, zeros after them. */
static void sixteen(struct tensor from, int64_t at, int64_t count, float *to) {
    const int64_t bytes = from.type == F32 ? 4 : 2;
    char some[4 * PANEL];
    if (count < PANEL) {
        memset(some, 0, sizeof some);
        memcpy(some, (const char *)from.numbers + at * bytes, count * bytes);
        from.numbers = some;
        at = 0;
    }
    for (int i = 0; i < PANEL; i += LANES)
        store(to + i, numbers_at(from.numbers, from.type, at + i));
}

/* [16, 16] numbers of 4 bytes, in rows that are `stride` numbers apart, with rows and columns
   changed. */
INLINE void turn_as(const void *numbers, int type, int64_t at, int64_t stride, float *to) {
#ifdef __AVX512F__
    __m512 a[16], b[16];
    for (int i = 0; i < 16; i++)
        a[i] = numbers_at(numbers, type, at + i * stride);
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            const __m512d low = (__m512d)b[i + j], high = (__m512d)b[i + j + 2];
            a[i + 2 * j] = (__m512)_mm512_unpacklo_pd(low, high);
            a[i + 2 * j + 1] = (__m512)_mm512_unpackhi_pd(low, high);
        }
    for (int j = 0; j < 4; j++) { /* a[4 i + j]: columns j, j + 4, ... of rows 4 i to 4 i + 3 */
        b[j] = _mm512_shuffle_f32x4(a[j], a[4 + j], 0x88);
        b[4 + j] = _mm512_shuffle_f32x4(a[j], a[4 + j], 0xdd);
        b[8 + j] = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0x88);
        b[12 + j] = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0xdd);
    }
    for (int j = 0; j < 4; j++) {
        store(to + 16 * j, _mm512_shuffle_f32x4(b[j], b[8 + j], 0x88));
        store(to + 16 * (8 + j), _mm512_shuffle_f32x4(b[j], b[8 + j], 0xdd));
        store(to + 16 * (4 + j), _mm512_shuffle_f32x4(b[4 + j], b[12 + j], 0x88));
        store(to + 16 * (12 + j), _mm512_shuffle_f32x4(b[4 + j], b[12 + j], 0xdd));
    }
#elif defined(__AVX2__)
    for (int row = 0; row < 16; row += 8)
        for (int column = 0; column < 16; column += 8) {
            __m256 a[8], b[8];
            for (int i = 0; i < 8; i++)
                a[i] = numbers_at(numbers, type, at + (row + i) * stride + column);
            for (int i = 0; i < 8; i += 2) {
                b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
                b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
            }
            for (int i = 0; i < 8; i += 4)
                for (int j = 0; j < 2; j++) {
                    const __m256d low = (__m256d)b[i + j], high = (__m256d)b[i + j + 2];
                    a[i + 2 * j] = (__m256)_mm256_unpacklo_pd(low, high);
                    a[i + 2 * j + 1] = (__m256)_mm256_unpackhi_pd(low, high);
                }
            for (int i = 0; i < 4; i++) {
                float *line = to + (column + i) * 16 + row;
                store(line, _mm256_permute2f128_ps(a[i], a[4 + i], 0x20));
                store(line + 4 * 16, _mm256_permute2f128_ps(a[i], a[4 + i], 0x31));
            }
        }
#else
    for (int row = 0; row < 16; row += 4)
        for (int column = 0; column < 16; column += 4) {
            float32x4_t a[4];
            for (int i = 0; i < 4; i++)
                a[i] = numbers_at(numbers, type, at + (row + i) * stride + column);
            float *line = to + column * 16 + row;
            for (int j = 0; j < 2; j++, line += 2 * 16) { /* columns 0 and 1, then 2 and 3 */
                const float32x4_t b = j ? vzip2q_f32(a[0], a[1]) : vzip1q_f32(a[0], a[1]);
                const float32x4_t c = j ? vzip2q_f32(a[2], a[3]) : vzip1q_f32(a[2], a[3]);
                store(line, (floats)vzip1q_f64((float64x2_t)b, (float64x2_t)c));
                store(line + 16, (floats)vzip2q_f64((float64x2_t)b, (float64x2_t)c));
            }
        }
#endif
}

static void turn(struct tensor from, int64_t at, int64_t stride, float *to) {
    if (from.type == F32)
        turn_as(from.numbers, F32, at, stride, to);
    else if (from.type == F16)
        turn_as(from.numbers, F16, at, stride, to);
    else
        turn_as(from.numbers, BF16, at, stride, to);
}

/* A panel in float32, [inputs, 16], of the outputs from `first` on. */
static void panel_of(const struct product *product, int64_t first, float *to) {
    const int64_t there = product->outputs - first;
    for (int64_t k = 0; k < product->inputs; k += PANEL) {
        const int64_t at = first * product->inputs + k, columns = product->inputs - k;
        if (there >= PANEL && columns >= PANEL) {
            turn(product->weight, at, product->inputs, to + k * PANEL);
            continue;
        }
        float rows[PANEL * PANEL] = {0};
        for (int64_t i = 0; i < PANEL && i < there; i++)
            sixteen(product->weight, at + i * product->inputs, columns, rows + i * PANEL);
        turn_as(rows, F32, 0, PANEL, to + k * PANEL);
    }
}

/* 2 LANES numbers as bfloat16. */
INLINE void store_brains(char *to, floats low, floats high) {
#ifdef __AVX512BF16__
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
#else
    (void)to, (void)low, (void)high;
#endif
}

#ifdef __AVX512BF16__
INLINE __m256i brains(const float *from) { return (__m256i)_mm512_cvtneps_pbh(load(from)); }
#endif

/* The left side of products: `rows` of numbers with so many bytes each, and INT8's scales. */
struct left {
    const void *rows;
    const float *scale;
    int64_t stride;
};

/* Tokens [n, size] as the left side of a product, in `room`, unless that is where they are. */
static struct left left_of(int precision, const float *tokens, int64_t n, int64_t size,
                           char *room) {
    if (precision == FLOAT32)
        return (struct left){tokens, NULL, 4 * size};
#ifdef __AVX512BF16__
    if (precision == BFLOAT16) {
        const int64_t stride = WIDE(2 * size, STEP);
        for (int64_t i = 0; i < n; i++) {
            char *to = room + i * stride;
            for (int64_t k = 0; k < size; k += PANEL)
                _mm256_storeu_si256((__m256i *)(to + 2 * k), brains(tokens + i * size + k));
            memset(to + 2 * size, 0, stride - 2 * size);
        }
        return (struct left){room, NULL, stride};
    }
#endif
    const int64_t stride = WIDE(size, STEP);
    float *scale = (float *)(room + WIDE(n, BLOCK) * stride);
    for (int64_t i = 0; i < n; i++) {
        const float *from = tokens + i * size;
        uint8_t *to = (uint8_t *)room + i * stride;
        floats most = set(0.0f), nought = set(0.0f);
        for (int64_t k = 0; k < size; k += LANES) {
            most = largest(most, absolute(load(from + k)));
            nought = fma(load(from + k), set(0.0f), nought);
        }
        const float reach = largest_of(most);
        scale[i] = reach / 127.0f + sum_of(nought); /* no number where one of them is none */
        const floats by = set(reach > 0.0f ? 127.0f / reach : 0.0f);
        for (int64_t k = 0; k < size; k += LANES)
            store_bytes(to + k, to_wholes(fma(load(from + k), by, set(SHIFT))));
        memset(to + size, 0, stride - size); /* the weights are 0 there, but a tile reads it */
    }
    return (struct left){room, scale, stride};
}

/* ---- A layer's parts ------------------------------------------------------------------------ */

/* Bytes of a panel, in each precision, of `inputs` numbers. */
INLINE int64_t panel_bytes(int precision, int type, int64_t inputs) {
    return precision == FLOAT32 ? WIDE(inputs, PANEL) * (type == F32 ? 4 : 2) * PANEL
                                : WIDE(inputs * (precision == BFLOAT16 ? 2 : 1), STEP) * PANEL;
}

/* What `multiply` makes of the sums of some tokens: out = activation(sums + bias + added). */
struct finished {
    const float *scale, *added; /* of each token, INT8; or NULL */
    float *out;
    int activation;
};

INLINE void finish_as(const struct product *product, const float *sums, int64_t first, int64_t rows,
                      int64_t columns, struct finished as, int activation, int precision) {
    const int64_t width = WIDE(product->outputs, PANEL);
    for (int64_t k = 0; k < columns; k += LANES) {
        const int64_t column = first + k;
        const floats bias = load(product->bias + column);
        const floats scale = precision == INT8 ? load(product->scale + column) : bias;
        const floats shift = precision == INT8 && SHIFT ? load(product->shift + column) : set(0.0f);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t at = i * width + column;
            const float *sum = sums + i * BLOCK + k;
            floats x = bias;
            if (precision == INT8)
                x = fma(fma(to_floats(load_wholes(sum)), scale, shift), set(as.scale[i]), x);
            else
                x += load(sum);
            if (as.added)
                x += load(as.added + at);
            store(as.out + at, activated(x, activation, precision == FLOAT32));
        }
    }
}

/* In the columns of a panel or two of the product, from `first` on. */
static void finish(const struct product *product, const float *sums, int64_t first, int64_t rows,
                   int64_t columns, struct finished as, int precision) {
#define FINISH_AS(ACTIVATION, PRECISION)                                                           \
    finish_as(product, sums, first, rows, columns, as, ACTIVATION, PRECISION)
#define IN_EACH(ACTIVATION)                                                                        \
    precision == INT8       ? FINISH_AS(ACTIVATION, INT8)                                          \
    : precision == BFLOAT16 ? FINISH_AS(ACTIVATION, BFLOAT16)                                      \
                            : FINISH_AS(ACTIVATION, FLOAT32)
    switch (as.activation) {
    case GELU:
        IN_EACH(GELU);
        break;
    case GELU_TANH:
        IN_EACH(GELU_TANH);
        break;
    case RELU:
        IN_EACH(RELU);
        break;
    case SILU:
        IN_EACH(SILU);
        break;
    default:
        IN_EACH(NONE);
    }
}

/* out [n, outputs] = activation(left times the weights + bias + added). `room` is for two panels.

   Of a panel pair's rows so many are taken at a time, and for so many tokens, as a core's first
   cache holds; the sums of these tokens are there too. */
static void multiply(const struct model *model, const struct product *product, struct left left,
                     int64_t n, float *out, const float *added, int activation, float *room) {
    const int precision = model->precision;
    const int64_t width = WIDE(product->outputs, PANEL);
    const int made = precision == FLOAT32 && !product->panelled;
    const int type = made ? F32 : product->weight.type;
    const int64_t step = precision == FLOAT32 && type != F32 ? STEP / 2 : STEP;
    const int64_t bytes = panel_bytes(precision, type, product->inputs), steps = bytes / step;
    const int64_t group = made ? WIDE(n, GROUP) : GROUP;
    _Alignas(64) float sums[GROUP * BLOCK];
    for (int64_t start = 0; start < n; start += group)
        for (int64_t first = 0; first < width; first += BLOCK) {
            const int64_t columns = width - first < BLOCK ? PANEL : BLOCK;
            const int panels = columns / PANEL;
            const char *b = (const char *)product->weight.numbers + first / PANEL * bytes;
            if (made) {
                for (int p = 0; p < panels; p++)
                    panel_of(product, first + p * PANEL, room + p * bytes / 4);
                b = (const char *)room;
            }
            for (int64_t r = start; r < n && r < start + group; r += GROUP) {
                const int64_t rows = n - r < GROUP ? n - r : GROUP;
                const char *a = (const char *)left.rows + r * left.stride;
                for (int64_t s = 0; s < steps; s += STEPS)
                    for (int64_t i = 0; i < rows; i += BLOCK)
                        block(model, precision, type, a + i * left.stride + 4 * s,
                              left.stride, b + s * step, bytes,
                              steps - s < STEPS ? steps - s : STEPS, sums + i * BLOCK, BLOCK,
                              rows - i < BLOCK ? rows - i : BLOCK, panels, s > 0);
                const struct finished finished = {left.scale ? left.scale + r : NULL,
                                                  added ? added + r * width : NULL, out + r * width,
                                                  activation};
                finish(product, sums, first, rows, columns, finished, precision);
            }
        }
}

/* Layer normalisation (Ba et al., 2016) of each of n rows, in place. */
static void normalise(const struct model *model, struct norm norm, float *tokens, int64_t n) {
    const int64_t size = WIDE(model->size, PANEL);
    for (int64_t i = 0; i < n; i++) {
        float *row = tokens + i * size;
        floats sum = set(0.0f), squares = set(0.0f);
        for (int64_t k = 0; k < size; k += LANES)
            sum += load(row + k);
        const float mean = sum_of(sum) / model->size;
        for (int64_t k = model->size; k < size; k++)
            row[k] = mean; /* no part of the variance; zero again in the end */
        for (int64_t k = 0; k < size; k += LANES) {
            const floats x = load(row + k) - set(mean);
            squares = fma(x, x, squares);
        }
        const float variance = sum_of(squares) / model->size;
        const floats by = set(1.0f / sqrtf(variance + (float)model->epsilon));
        for (int64_t k = 0; k < size; k += LANES)
            store(row + k,
                  fma((load(row + k) - set(mean)) * by, load(norm.scale + k), load(norm.bias + k)));
    }
}

/* What attention has its numbers in: float32 where the model or the CPU has no bfloat16. */
INLINE int attention_precision(const struct model *model) {
    return model->precision != FLOAT32 && model->bfloat16 ? BFLOAT16 : FLOAT32;
}

/* Up to PANEL numbers, zeros after them. */
INLINE void copy_panel(float *to, const float *from, int64_t count) {
    if (count < PANEL) {
        memset(to, 0, sizeof(float) * PANEL);
        memcpy(to, from, sizeof(float) * count);
        return;
    }
    for (int i = 0; i < PANEL; i += LANES)
        store(to + i, load(from + i));
}

/* A head's keys of t tokens as panels of 16 tokens, and its values as panels of 16 numbers. */
static void spread_head(int precision, const float *keys, const float *values, int64_t t,
                        int64_t stride, int64_t head, char *key_panels, char *value_panels) {
    const int64_t whole = WIDE(head, PANEL);
    float rows[PANEL * PANEL];
    if (precision == FLOAT32) {
        for (int64_t i = 0; i < WIDE(t, BLOCK); i += PANEL)
            for (int64_t k = 0; k < head; k += PANEL) {
                for (int64_t j = 0; j < PANEL; j++)
                    copy_panel(rows + j * PANEL, keys + (i + j) * stride + k,
                               i + j < t ? head - k : 0);
                turn_as(rows, F32, 0, PANEL, (float *)key_panels + i * whole + k * PANEL);
            }
        for (int64_t k = 0; k < head; k += PANEL) {
            float *to = (float *)value_panels + k * WIDE(t, BLOCK);
            for (int64_t i = 0; i < WIDE(t, BLOCK); i++, to += PANEL)
                copy_panel(to, values + i * stride + k, i < t ? head - k : 0);
        }
        return;
    }
#ifdef __AVX512BF16__
    const int64_t wide = WIDE(head, BLOCK), long_as = WIDE(t, BLOCK);
    for (int64_t i = 0; i < long_as; i += PANEL)
        for (int64_t k = 0; k < wide; k += BLOCK) {
            for (int64_t j = 0; j < PANEL; j++) {
                const __mmask32 there = i + j >= t          ? 0
                                        : head - k >= BLOCK ? ~0u
                                                            : (1u << (head - k)) - 1;
                const float *from = keys + (i + j) * stride + k;
                const __m512 low = _mm512_maskz_loadu_ps((__mmask16)there, from);
                const __m512 high = _mm512_maskz_loadu_ps((__mmask16)(there >> 16), from + PANEL);
                store(rows + j * PANEL, (__m512)_mm512_cvtne2ps_pbh(high, low));
            }
            turn_as(rows, F32, 0, PANEL, (float *)(key_panels + i * wide * 2 + k / 2 * STEP));
        }
    for (int64_t k = 0; k < wide; k += PANEL) {
        char *to = value_panels + k * long_as * 2;
        const __mmask16 there = head <= k ? 0 : head - k >= PANEL ? 0xffff : (1u << (head - k)) - 1;
        for (int64_t i = 0; i < long_as; i += 2, to += STEP) {
            const float *from = values + i * stride + k;
            const __m512 even = _mm512_maskz_loadu_ps(i < t ? there : 0, from);
            const __m512 odd = _mm512_maskz_loadu_ps(i + 1 < t ? there : 0, from + stride);
            /* Two bfloat16 of a column: the one of the even token below that of the odd one. */
            const __m512i pairs = _mm512_or_si512(
                _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even)),
                _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd)), 16));
            _mm512_storeu_si512((void *)to, pairs);
        }
    }
#endif
}

/* The sums, or the largest, of each of 16 rows of vectors, as one row. */
INLINE void across(const float *rows, int sums, float *to) {
    float turned[PANEL * PANEL];
    turn_as(rows, F32, 0, PANEL, turned);
    for (int j = 0; j < PANEL; j += LANES) {
        floats x = load(turned + j);
        for (int i = 1; i < PANEL; i++) {
            const floats y = load(turned + i * PANEL + j);
            if (sums)
                x += y;
            else
                x = largest(x, y);
        }
        store(to + j, x);
    }
}

/* Softmax of 16 rows of scores [16, width], of which t are tokens', without the division: powers
   in the given precision, [16, width], and what to multiply with. */
INLINE void powers_of(int precision, float *scores, int64_t t, int64_t width, float by,
                      void *powers, float *inverse) {
    float parts[PANEL * PANEL], top[PANEL];
    for (int i = 0; i < PANEL; i++) {
        float *row = scores + i * width;
        for (int64_t k = t; k < width; k++)
            row[k] = -1e30f;
        for (int j = 0; j < PANEL; j += LANES) {
            floats most = load(row + j);
            for (int64_t k = PANEL; k < width; k += PANEL)
                most = largest(most, load(row + j + k));
            store(parts + i * PANEL + j, most);
        }
    }
    across(parts, 0, top);
    for (int i = 0; i < PANEL; i++) {
        float *row = scores + i * width;
        const floats scale = set(by), most = set(top[i]);
        floats low = set(0.0f), high = set(0.0f);
        for (int64_t k = 0; k < width; k += 2 * LANES) {
            const floats x = power((load(row + k) - most) * scale, precision == FLOAT32);
            const floats y = power((load(row + k + LANES) - most) * scale, precision == FLOAT32);
            low += x;
            high += y;
            if (precision == BFLOAT16)
                store_brains((char *)powers + 2 * (i * width + k), x, y);
            else {
                store(row + k, x);
                store(row + k + LANES, y);
            }
        }
        if (VECTORS == 1)
            store(parts + i * PANEL, low + high);
        else {
            store(parts + i * PANEL, low);
            store(parts + i * PANEL + LANES, high);
            for (int j = 2 * LANES; j < PANEL; j += LANES)
                store(parts + i * PANEL + j, set(0.0f));
        }
    }
    across(parts, 1, top);
    for (int j = 0; j < PANEL; j += LANES)
        store(inverse + j, set(1.0f) / load(top + j));
}

#ifdef __AVX512BF16__
/* The powers of scores, bfloat16 [rows, width], and what to multiply with, of up to 32 rows of a
   query by the keys of t tokens; the scores themselves are never stored. Their largest is not taken
   off, so that one way over them is enough: 0, and nothing to be used, where a row's powers are too
   large or too small for that, as their sum shows. */
static int powers_at_once(const char *query, int64_t stride, const char *keys, int64_t steps,
                          int64_t t, int64_t width, int64_t rows, float by, char *powers,
                          float *inverse) {
    const int64_t panel = PANEL * stride;
    for (int64_t r = 0; r < rows; r += ROWS) {
        const char *row = query + r * stride;
        floats total[ROWS] = {0};
        for (int64_t k = 0; k < width; k += BLOCK) {
            const char *first = keys + k * stride, *second = first + panel;
            floats sum[ROWS][2] = {0};
            for (int64_t s = 0; s < steps; s++) {
                const floats low = load_floats(first + s * STEP);
                const floats high = load_floats(second + s * STEP);
                for (int i = 0; i < ROWS; i++) {
                    const char *left = row + i * stride + 4 * s;
                    sum[i][0] = MULTIPLY_BRAIN(sum[i][0], left, low);
                    sum[i][1] = MULTIPLY_BRAIN(sum[i][1], left, high);
                }
            }
            const __mmask32 there = t - k >= BLOCK ? ~0u : (1u << (t - k)) - 1;
            for (int i = 0; i < ROWS; i++) {
                const floats x = _mm512_maskz_mov_ps((__mmask16)there,
                                                     power(sum[i][0] * set(by), 0));
                const floats y = _mm512_maskz_mov_ps((__mmask16)(there >> PANEL),
                                                     power(sum[i][1] * set(by), 0));
                total[i] += x + y;
                store_brains(powers + 2 * ((r + i) * width + k), x, y);
            }
        }
        for (int i = 0; i < ROWS; i++) {
            const float sum = sum_of(total[i]);
            if (!(sum > 0x1p-64f && sum < 0x1p64f))
                return 0;
            inverse[r + i] = 1.0f / sum;
        }
    }
    return 1;
}
#endif

/* Attention of n tokens `asking` to the t of their text: out [n, size], in rows of `stride`. */
static void attend(const struct model *model, const float *asking, int64_t n, const float *keys,
                   const float *values, int64_t t, float *out, char *room) {
    const int precision = attention_precision(model);
    const int exact = precision == FLOAT32;
    const int64_t stride = WIDE(model->size, PANEL), head = model->size / model->heads;
    const int64_t wide = WIDE(head, exact ? PANEL : BLOCK);
    const int64_t long_as = WIDE(t, BLOCK), number = exact ? 4 : 2;
    char *key_panels = room;
    char *value_panels = key_panels + long_as * wide * number;
    char *query = value_panels + long_as * wide * number;
    float *scores = (float *)(query + BLOCK * wide * number);
    void *powers = exact ? (void *)scores : (void *)(scores + BLOCK * long_as);
    float *mixed = scores + BLOCK * long_as + (exact ? 0 : BLOCK * long_as / 2);
    float inverse[BLOCK];
    const float by = 1.44269504f / sqrtf((float)head);
    for (int64_t h = 0; h < model->heads; h++) {
        spread_head(precision, keys + h * head, values + h * head, t, stride, head, key_panels,
                    value_panels);
        for (int64_t q = 0; q < n; q += BLOCK) {
            const int64_t rows = n - q < BLOCK ? n - q : BLOCK;
            for (int64_t i = 0; i < WIDE(rows, PANEL); i++) {
                const float *from = asking + (q + i) * stride + h * head;
                char *to = query + i * wide * number;
                if (exact) {
                    for (int64_t k = 0; k < wide; k += PANEL)
                        copy_panel((float *)to + k, from + k, i < rows ? head - k : 0);
                    continue;
                }
                memset(to, 0, wide * number);
                if (i >= rows)
                    continue;
#ifdef __AVX512BF16__
                for (int64_t k = 0; k < head; k += PANEL) {
                    const __mmask16 there = head - k >= PANEL ? 0xffff : (1u << (head - k)) - 1;
                    _mm256_storeu_si256(
                        (__m256i *)(to + 2 * k),
                        (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(there, from + k)));
                }
#endif
            }
            int done = 0;
#ifdef __AVX512BF16__
            if (!exact && !model->tiles)
                done = powers_at_once(query, wide * number, key_panels, wide / 2, t, long_as, rows,
                                      by, powers, inverse);
#endif
            if (!done) {
                const int64_t panel = PANEL * wide * number;
                for (int64_t k = 0; k < long_as; k += BLOCK)
                    block(model, precision, F32, query, wide * number,
                          key_panels + k * wide * number, panel, wide * number / 4, scores + k,
                          long_as, rows, 2, 0);
                for (int64_t i = 0; i < rows; i += PANEL) {
                    float *here = scores + i * long_as;
                    if (exact)
                        powers_of(FLOAT32, here, t, long_as, by, here, inverse + i);
                    else
                        powers_of(BFLOAT16, here, t, long_as, by, (char *)powers + 2 * i * long_as,
                                  inverse + i);
                }
            }
            for (int64_t k = 0; k < wide; k += BLOCK)
                block(model, precision, F32, powers, long_as * number,
                      value_panels + k * long_as * number, PANEL * long_as * number,
                      long_as * number / 4, mixed + k, wide, rows, wide - k < BLOCK ? 1 : 2, 0);
            for (int64_t i = 0; i < rows; i++) {
                float *to = out + (q + i) * stride + h * head;
                const float *from = mixed + i * wide;
                int64_t k = 0;
                for (; k + LANES <= head; k += LANES)
                    store(to + k, load(from + k) * set(inverse[i]));
                for (; k < head; k++)
                    to[k] = from[k] * inverse[i];
            }
        }
    }
}

enum { HEADS = 4, TOGETHER = ROWS / 2, FEW = 32 /* tokens */ };
_Static_assert(TOGETHER * LANES <= 64, "of what Python lets `last_key` have the width be a multiple");

/* Whether a text of t tokens needs keys and values in a layer. Where it asks for one token, they
   take longer than `attend_last`, but for few tokens in less than float32. */
INLINE int needs_keys(const struct model *model, int last, int64_t t) {
    return !last || !model->last_key.numbers || (model->precision != FLOAT32 && t < FEW);
}

/* Attention of one token `asking` to the t of its text: out [size]. A head's scores are its query,
   times the weights of the keys, by the tokens; what it gives is the tokens, mixed, times the
   weights of the values. So no token needs a key or a value. The keys' bias, which adds the same to
   all scores, is left out, and the values' `bias` added in the end. In all precisions the weights
   are as the file has them, and numbers float32. */
static void attend_last(const struct model *model, const float *asking, const float *tokens,
                        int64_t t, const float *bias, float *out, float *room) {
    const int64_t size = model->size, head = size / model->heads;
    const int64_t heads = WIDE(model->heads, HEADS), long_as = WIDE(t, PANEL);
    float *asked = room, *scores = asked + heads * size;
    const floats by = set(1.44269504f / sqrtf((float)head));
    memset(asked, 0, sizeof(float) * heads * size);
    for (int64_t i = 0; i < size; i++) {
        float *to = asked + i / head * size;
        for (int64_t k = 0; k < size; k += LANES)
            store(to + k, fma(set(asking[i]),
                              numbers_at(model->last_key.numbers, model->last_key.type, i * size + k),
                              load(to + k)));
    }
    for (int64_t h = 0; h < heads; h += HEADS) {
        for (int64_t i = 0; i < t; i += TOGETHER) {
            floats sum[HEADS][TOGETHER] = {0};
            const float *row[TOGETHER];
            for (int j = 0; j < TOGETHER; j++)
                row[j] = tokens + (i + j < t ? i + j : t - 1) * size;
            for (int64_t k = 0; k < size; k += LANES)
                for (int j = 0; j < HEADS; j++) {
                    const floats x = load(asked + (h + j) * size + k);
                    for (int l = 0; l < TOGETHER; l++)
                        sum[j][l] = fma(x, load(row[l] + k), sum[j][l]);
                }
            for (int j = 0; j < HEADS; j++)
                for (int l = 0; l < TOGETHER; l++)
                    scores[(h + j) * long_as + i + l] = sum_of(sum[j][l]);
        }
        float *mixed = asked + h * size; /* what was asked is not needed any more */
        floats inverse[HEADS];
        for (int j = 0; j < HEADS; j++) {
            float *here = scores + (h + j) * long_as;
            for (int64_t i = t; i < long_as; i++)
                here[i] = -1e30f;
            floats most = load(here), sum = set(0.0f);
            for (int64_t i = LANES; i < long_as; i += LANES)
                most = largest(most, load(here + i));
            const floats top = set(largest_of(most));
            for (int64_t i = 0; i < long_as; i += LANES) {
                const floats x = power((load(here + i) - top) * by, 1);
                sum += x;
                store(here + i, x);
            }
            inverse[j] = set(1.0f / sum_of(sum));
        }
        for (int64_t k = 0; k < size; k += TOGETHER * LANES) {
            floats sum[HEADS][TOGETHER] = {0};
            for (int64_t i = 0; i < t; i++)
                for (int l = 0; l < TOGETHER; l++) {
                    const floats x = load(tokens + i * size + k + l * LANES);
                    for (int j = 0; j < HEADS; j++)
                        sum[j][l] = fma(set(scores[(h + j) * long_as + i]), x, sum[j][l]);
                }
            for (int j = 0; j < HEADS; j++)
                for (int l = 0; l < TOGETHER; l++)
                    store(mixed + j * size + k + l * LANES, sum[j][l] * inverse[j]);
        }
    }
    for (int64_t i = 0; i < size; i++) {
        const float *mixed = asked + i / head * size;
        floats sum = set(0.0f);
        for (int64_t k = 0; k < size; k += LANES)
            sum = fma(load(mixed + k),
                      numbers_at(model->last_value.numbers, model->last_value.type, i * size + k),
                      sum);
        out[i] = sum_of(sum) + bias[i];
    }
}

/* ---- The whole ------------------------------------------------------------------------------ */

/* Where in the memory that a call is given its parts lie, in bytes from its start. */
struct rooms {
    int64_t fed; /* how many tokens go through the feed-forward network at a time */
    int64_t tokens, query, key, value, mixed, left, feed, feed_left, panels, attention, end;
};

static struct rooms rooms_for(const struct model *model, int64_t n, int64_t longest) {
    const int64_t size = WIDE(model->size, PANEL), inner = WIDE(model->inner, PANEL);
    const int64_t rows = WIDE(n, BLOCK), most = WIDE(longest, BLOCK);
    const int64_t head = WIDE(model->size / model->heads, BLOCK);
    const int64_t matrix = rows * size * 4;
    struct rooms r = {0};
    /* So many that what is between its products stays in the cache; in float32, whose panels are
       made each time, more. */
    r.fed = model->precision == FLOAT32 ? 256 : 64;
    r.query = r.tokens + matrix;
    r.key = r.query + matrix;
    r.value = r.key + matrix;
    r.mixed = r.value + matrix;
    r.left = r.mixed + matrix;
    r.feed = r.left + rows * (WIDE(2 * size, STEP) + 4);
    r.feed_left = r.feed + r.fed * inner * 4;
    r.panels = r.feed_left + r.fed * (WIDE(2 * inner, STEP) + 4);
    r.panels = WIDE(r.panels, STEP);
    r.attention = r.panels + 2 * PANEL * 4 * (inner > size ? inner : size);
    const int64_t heads = WIDE(model->heads, HEADS);
    const int64_t all = 2 * most * head + 2 * BLOCK * head + 2 * BLOCK * most;
    const int64_t one = heads * (size + most);
    r.end = r.attention + 4 * (all > one ? all : one) + STEP;
    return r;
}

/* The sizes of what a caller describes, so that both know that they mean the same. */
int64_t layout(void) { return (int64_t)sizeof(struct model) << 32 | sizeof(struct layer); }

/* How many bytes `encode` needs for n tokens in texts of at most `longest`. */
int64_t room(const struct model *model, int64_t n, int64_t longest) {
    return rooms_for(model, n, longest).end;
}

static void embed(const struct model *model, const int64_t *words, const int64_t *places,
                  const int64_t *types, int64_t n, float *tokens) {
    const int64_t size = WIDE(model->size, PANEL);
    const int64_t row = model->size * (model->words.type == F32 ? 4 : 2);
    float part[PANEL];
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n) /* rows that no cache has are on their way */
            for (int64_t k = 0; k < row; k += 64)
                __builtin_prefetch((const char *)model->words.numbers + words[i + AHEAD] * row + k);
        for (int64_t k = 0; k < size; k += PANEL) {
            float *to = tokens + i * size + k;
            const int64_t count = model->size - k;
            sixteen(model->words, words[i] * model->size + k, count, to);
            sixteen(model->places, places[i] * model->size + k, count, part);
            for (int j = 0; j < PANEL; j++)
                to[j] += part[j];
            if (model->types.numbers) {
                sixteen(model->types, types[i] * model->size + k, count, part);
                for (int j = 0; j < PANEL; j++)
                    to[j] += part[j];
            }
        }
    }
    normalise(model, model->norm, tokens, n);
}

/* What follows attention in a layer, for n tokens: `tokens` are taken and given. */
static void feed(const struct model *model, const struct layer *layer, float *tokens, float *mixed,
                 int64_t n, char *memory, struct rooms at) {
    const int precision = model->precision;
    const int64_t size = WIDE(model->size, PANEL), inner = WIDE(model->inner, PANEL);
    float *panels = (float *)(memory + at.panels);
    struct left left = left_of(precision, mixed, n, size, memory + at.left);
    multiply(model, &layer->output, left, n, tokens, tokens, NONE, panels);
    normalise(model, layer->attention_norm, tokens, n);
    for (int64_t i = 0; i < n; i += at.fed) {
        const int64_t rows = n - i < at.fed ? n - i : at.fed;
        float *here = tokens + i * size, *inside = (float *)(memory + at.feed);
        left = left_of(precision, here, rows, size, memory + at.left);
        multiply(model, &layer->inner, left, rows, inside, NULL, model->activation, panels);
        left = left_of(precision, inside, rows, inner, memory + at.feed_left);
        multiply(model, &layer->outer, left, rows, here, here, NONE, panels);
        normalise(model, layer->norm, here, rows);
    }
}

/* The last hidden state of texts with `sizes` tokens each, n in all: of every token, out [n, size],
   or of the one at `places` of each text, [texts, size]; rows are as wide as the model.

   `memory` has as many bytes as `room` says, at a multiple of 64. */
void encode(const struct model *model, const int64_t *words, const int64_t *positions,
            const int64_t *types, const int64_t *sizes, int64_t texts, const int64_t *places,
            float *out, char *memory) {
    const int precision = model->precision;
    const int64_t size = WIDE(model->size, PANEL);
    int64_t n = 0, longest = 1;
    for (int64_t i = 0; i < texts; i++) {
        n += sizes[i];
        longest = sizes[i] > longest ? sizes[i] : longest;
    }
    const struct rooms at = rooms_for(model, n, longest);
    float *tokens = (float *)(memory + at.tokens), *query = (float *)(memory + at.query);
    float *key = (float *)(memory + at.key), *value = (float *)(memory + at.value);
    float *mixed = (float *)(memory + at.mixed), *panels = (float *)(memory + at.panels);
#ifdef __AMX_TILE__
    if (model->tiles)
        start_tiles();
#endif
    const uint64_t before = way();
    set_way(QUICK);
    if (size > model->size) /* attention gives no zeros after a row's own numbers */
        memset(mixed, 0, sizeof(float) * n * size);
    embed(model, words, positions, types, n, tokens);
    for (int64_t depth = 0; depth < model->depth; depth++) {
        const struct layer *layer = model->layers + depth;
        const int last = places && depth == model->depth - 1;
        if (last) { /* from here on there is one token of each text */
            int64_t start = 0;
            for (int64_t i = 0; i < texts; start += sizes[i++])
                memcpy(mixed + i * size, tokens + (start + places[i]) * size, 4 * size);
            const struct left left = left_of(precision, mixed, texts, size, memory + at.left);
            multiply(model, &layer->query, left, texts, query, NULL, NONE, panels);
        }
        for (int64_t i = 0, start = 0; i < texts;) {
            int64_t end = i, rows = 0; /* texts that need keys, one after the other */
            while (end < texts && needs_keys(model, last, sizes[end]))
                rows += sizes[end++];
            if (rows) {
                const struct left left =
                    left_of(precision, tokens + start * size, rows, size, memory + at.left);
                const int64_t from = start * size;
                multiply(model, &layer->key, left, rows, key + from, NULL, NONE, panels);
                multiply(model, &layer->value, left, rows, value + from, NULL, NONE, panels);
                if (!last)
                    multiply(model, &layer->query, left, rows, query + from, NULL, NONE, panels);
            }
            for (; i < end; start += sizes[i++]) {
                const int64_t first = (last ? i : start) * size;
                attend(model, query + first, last ? 1 : sizes[i], key + start * size,
                       value + start * size, sizes[i], mixed + first, memory + at.attention);
            }
            if (i < texts) {
                attend_last(model, query + i * size, tokens + start * size, sizes[i],
                            layer->value.bias, mixed + i * size, (float *)(memory + at.attention));
                start += sizes[i++];
            }
        }
        if (last) {
            int64_t start = 0;
            for (int64_t i = 0; i < texts; start += sizes[i++])
                memmove(tokens + i * size, tokens + (start + places[i]) * size, 4 * size);
        }
        feed(model, layer, tokens, mixed, last ? texts : n, memory, at);
    }
    const int64_t given = places ? texts : n;
    for (int64_t i = 0; i < given; i++)
        memcpy(out + i * model->size, tokens + i * size, sizeof(float) * model->size);
    set_way(before);
#ifdef __AMX_TILE__
    if (model->tiles)
        _tile_release();
#endif
}

/* What this CPU has of what this file was compiled for: 1 it runs at all, 2 VNNI or Arm's dot
   product, 4 bfloat16, 8 tiles, 16 products in int8. Asks the system for tiles, which it gives to
   the process. */
#ifdef __x86_64__
__attribute__((target("arch=x86-64")))
#endif
int64_t abilities(void) {
    int64_t has = 0;
#ifdef __AVX512F__
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512vnni") ||
        !__builtin_cpu_supports("bmi2"))
        return 0;
    has = 1 | 2 | 16;
#if defined(__linux__) && defined(__AMX_TILE__)
    uint32_t a = 7, b, c = 0, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    const uint32_t needed = 1u << 22 | 1u << 24 | 1u << 25; /* bfloat16, tiles, int8 */
    const long request = 0x1023, tile_data = 18;            /* ARCH_REQ_XCOMP_PERM */
    if ((d & needed) == needed && !syscall(SYS_arch_prctl, request, tile_data))
        has |= 8;
#endif
    /* Without tiles, Intel's take longer for bfloat16 than for float32. */
    if (__builtin_cpu_supports("avx512bf16") && (has & 8 || !__builtin_cpu_is("intel")))
        has |= 4;
#elif defined(__AVX2__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2"))
        return 0;
    has = 1 | 16;
    uint32_t a = 7, b, c = 1, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (a & 1u << 4) /* AVX-VNNI */
        has |= 2;
#else
    has = 1;
#if defined(__APPLE__) /* each Mac with Arm has it */
    has |= 2 | 16;
#elif defined(__linux__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP)
        has |= 2 | 16;
#endif
#endif
    return has;
}
