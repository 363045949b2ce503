/* Products of packed weights with many tokens (pixels) side by side.
 *
 * A sparse row of weights meets the same few activations of every token: with 64 tokens side by
 * side (layouts PANELS and QUADS of lacuna/layer.h) each weight multiplies whole vectors. This is
 * the frame around such kernels: it brings the activations of a layer into panels, calls the
 * kernel tile by tile, finishes the sums and writes them in the layout that the layer wants. A
 * kernel family is the few functions in between.
 *
 * Convolutions become the same product without im2col in memory: the input is copied once into
 * planes with its border of zeros, one plane per channel and phase of the stride. Output position
 * (y, x) is column y * width + x of the padded width, so each tap (r, s) of the window is the same
 * plane at another offset. Columns that fall on the border are computed and thrown away. Most
 * offsets are no multiple of a cache line, and a load across two lines counts twice: where weights
 * are many enough the columns of a tile are first brought in line, in a second-level cache. */
#ifndef LACUNA_CPU_PANEL_H
#define LACUNA_CPU_PANEL_H

#include "cpu/geometry.h"
#include "cpu/packed_gemm.h"

/* Most outputs of one call of a tile: 64 KB of sums on the stack. */
enum { LAC_PANEL_OUTPUTS = 256 };

/* Where the reduction index (of QUADS: the group of four) g of a tile stands: at byte offset[g] of
 * its first column; g * stride when stride is not 0. Columns are 4 bytes apart (floats, QUADS) or
 * 1 (PANELS of bytes). */
typedef struct lac_panel_source {
    const char *x;
    const int32_t *offset;
    int64_t stride;
    const int32_t *start; /* [outputs of the call] of families with `starts`: their sums begin so */
    /* What comes next: every output fetches its `ahead_bytes` of it (lac_panel_fetch), or the first
     * outputs of the next tile would wait for each line they meet. 0: nothing. */
    const char *ahead;
    int64_t ahead_bytes;
} lac_panel_source;

/* Output i of a call (`outputs` from it on) fetches its part of what comes next, as far as the
 * second-level cache. */
static inline void lac_panel_fetch(const lac_panel_source *source, int64_t i, int outputs)
{
    const char *from = source->ahead + i * source->ahead_bytes;
    for (int64_t at = 0; at < outputs * source->ahead_bytes; at += 64)
        __builtin_prefetch(from + at, 0, 2);
}

/* Copies that depend on the instruction set; one body, panel_moves.inc. */
typedef struct lac_panel_moves {
    /* Tokens `stride` bytes apart, each with k elements, side by side: element k of token t goes to
     * to + k * pitch + t (units of 4 bytes for floats); quads: to + k / 4 * pitch + 4 t + k % 4.
     * `flip` is xor-ed to bytes: 128 turns int8 into uint8 with 128 added. */
    void (*floats)(const void *from, int64_t stride, int64_t tokens, int64_t k, char *to,
                   int64_t pitch, int flip);
    void (*bytes)(const void *from, int64_t stride, int64_t tokens, int64_t k, char *to,
                  int64_t pitch, int flip);
    void (*quads)(const void *from, int64_t stride, int64_t tokens, int64_t k, char *to,
                  int64_t pitch, int flip);
    /* The columns of a tile, `bytes` (a multiple of 64) of each reduction group, one group behind
     * the other. */
    void (*gather)(const char *x, const int32_t *offset, int64_t groups, int bytes, char *to);
    /* Finishes sums [outputs][64] (float or int32) of outputs first.. and writes the rows of
     * those columns whose row[column] is not negative. */
    void (*finish_rows)(const lac_epilogue *e, bool integer, const void *sums, int64_t first,
                        int outputs, int columns, const int64_t *row);
    /* The same into panels or quads; `panel` counts panels of the output. The residual, floats,
     * stands in panels. Where there is none, sums of floats may stand in the output already. */
    void (*finish_panels)(const lac_epilogue *e, bool integer, const void *sums, int64_t first,
                          int outputs, int64_t panel, lac_layout layout);
    /* The same of token `row`: sums[outputs], which are overwritten. */
    void (*finish_token)(const lac_epilogue *e, bool integer, void *sums, int64_t row,
                         int64_t first, int outputs);
    /* n floats as the bytes that e says, one behind the other. */
    void (*quantise)(const lac_epilogue *e, const float *x, int64_t n, void *bytes);
} lac_panel_moves;
extern const lac_panel_moves lac_panel_moves_ref;
#if defined(__x86_64__)
extern const lac_panel_moves lac_panel_moves_avx2, lac_panel_moves_avx512;
#endif

/* Of the widest instruction set that may be used. */
const lac_panel_moves *lac_panel_moves_here(void);

typedef struct lac_panel_family {
    lac_layout layout; /* of the activations it multiplies: PANELS or QUADS */
    bool integer;      /* uint8 activations, int32 sums; false: floats */
    uint32_t dtypes;   /* of the unpacked weights */
    int outputs;       /* of a call of tile, at most; a multiple of 16 and of its strips */
    int few;           /* tokens up to which `dot` goes over each; 0 as 1 */
    const lac_panel_moves *moves;
    /* sums[i - begin][64], i in [begin, end): the products of outputs i with the first
     * 16 * vectors columns of a tile (1 <= vectors <= 4); the rest of a row of sums is not touched.
     * begin is a multiple of `outputs`. */
    void (*tile)(const lac_packed *weights, int64_t begin, int64_t end,
                 const lac_panel_source *source, int vectors, void *sums);
    bool starts; /* integer sums begin from source->start; false: from 0 */
    /* One token: sums[i - begin]; x has k elements and zeros behind, up to a multiple of 64. */
    void (*dot)(const lac_packed *weights, int64_t begin, int64_t end, const void *x, void *sums);
    /* Integer: sums of the weights of each output. */
    void (*sum)(const lac_packed *weights, int32_t *sum);
    /* May be NULL: what else about the layer it asks for. */
    bool (*can_run)(const lac_packed *weights, char *why, size_t why_size);
    /* Seconds of the products on one thread, without packing and finishing. */
    double (*seconds)(const lac_packed *weights, int64_t columns);
} lac_panel_family;

bool lac_panel_can_run(const lac_panel_family *family, const lac_layer *layer, char *why,
                       size_t why_size);
double lac_panel_cost(const lac_panel_family *family, const lac_layer *layer);
lac_status lac_panel_prepare(const lac_panel_family *family, const lac_layer *layer, void **state,
                             lac_error *err);
lac_status lac_panel_run(const lac_layer *layer, void *state, lac_error *err);
void lac_panel_release(void *state);
size_t lac_panel_bytes(const void *state);

/* Rows lac_kernel_gemm_NAME and lac_kernel_conv_NAME of the lac_panel_family `family`. */
#define LAC_PANEL_ROW(kind_, name_, format_, dtype_, isa_, family, text)                           \
    const lac_kernel lac_kernel_##kind_##_##name_ = {LAC_ROW(lac_kernel, #kind_ "_" #name_, text), \
                                                     .kind = #kind_,                               \
                                                     .format = format_,                            \
                                                     .dtype = dtype_,                              \
                                                     .isa = isa_,                                  \
                                                     .reads = LAC_PANEL_READS_##dtype_,            \
                                                     .writes = LAC_PANEL_WRITES,                   \
                                                     .can_run = family##_can_run,                  \
                                                     .cost = family##_cost,                        \
                                                     .prepare = family##_prepare,                  \
                                                     .run = lac_panel_run,                         \
                                                     .release = lac_panel_release,                 \
                                                     .state_bytes = lac_panel_bytes,               \
                                                     .residual_in_place = true};
#define LAC_PANEL_READS_LAC_F32 LAC_BIT(LAC_LAYOUT_PANELS)
#define LAC_PANEL_READS_LAC_U8  LAC_BIT(LAC_LAYOUT_PANELS) | LAC_BIT(LAC_LAYOUT_QUADS)
#define LAC_PANEL_READS_LAC_I8  LAC_BIT(LAC_LAYOUT_PANELS) | LAC_BIT(LAC_LAYOUT_QUADS)
#define LAC_PANEL_WRITES        LAC_BIT(LAC_LAYOUT_PANELS) | LAC_BIT(LAC_LAYOUT_QUADS)
/* Once per family, before its rows. */
#define LAC_PANEL_FAMILY(family)                                                                   \
    static bool family##_can_run(const lac_layer *layer, char *why, size_t why_size)               \
    {                                                                                              \
        return lac_panel_can_run(&(family), layer, why, why_size);                                 \
    }                                                                                              \
    static double family##_cost(const lac_layer *layer)                                            \
    {                                                                                              \
        return lac_panel_cost(&(family), layer);                                                   \
    }                                                                                              \
    static lac_status family##_prepare(const lac_layer *layer, void **state, lac_error *err)       \
    {                                                                                              \
        return lac_panel_prepare(&(family), layer, state, err);                                    \
    }
#define LAC_PANEL_ROWS(name_, format_, dtype_, isa_, family, text)                                 \
    LAC_PANEL_ROW(gemm, name_, format_, dtype_, isa_, family, text)                                \
    LAC_PANEL_ROW(conv, name_, format_, dtype_, isa_, family, text ", convolution")

#endif
