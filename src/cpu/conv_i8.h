/* Products of dense int8 weights: convolutions, matrix products, depthwise convolutions.
 *
 * The activations stay as the graph has them, channels last. A band of rows is copied, with its
 * border, into a buffer that stays in a cache; there the bytes that a row of the window meets lie
 * side by side, for every channel and column, so that a window is a few runs of bytes ("taps") at
 * fixed places behind each pixel: nothing is unrolled in memory, no channel is padded. Convolutions
 * of 1 x 1 windows and products read their activations where they are if their pixels are whole
 * words.
 *
 * This is the frame: planning, copying, numbers, threads. A family is how outputs of some pixels
 * are computed from there, for one instruction set: conv_i8.inc and depthwise_i8.inc. */
#ifndef LACUNA_CPU_CONV_I8_H
#define LACUNA_CPU_CONV_I8_H

#include "cpu/geometry.h"
#include "cpu/packed_gemm.h"

/* Most outputs of a block: what is computed for one row of pixels at a time. */
enum { LAC_CONV_I8_BLOCK = 64 };

/* How a block's sums become outputs. */
typedef enum lac_conv_i8_way {
    LAC_CONV_I8_ANY,    /* as lac_epilogue_integers does it */
    LAC_CONV_I8_FLOATS, /* no activation but a clip, floats; same bits */
    LAC_CONV_I8_BYTES   /* the same rounded to bytes in one step, with the residual if there is one:
                           round(sum * factor + shift) + zero. A value on the edge between two steps
                           may fall to the other side of where QuantizeLinear has it. */
} lac_conv_i8_way;

struct lac_conv_i8_family;

typedef struct lac_conv_i8 {
    const struct lac_conv_i8_family *family;
    lac_conv_geometry g;
    lac_gemm_shape shape; /* m pixels, n outputs, k products each */
    bool plain;           /* 1 x 1 windows of pixels one behind the other */
    bool in_place;        /* and read where they are */
    int64_t outputs;      /* n in whole blocks */
    /* The reduction of a pixel: `taps` runs of `words` words of 4 bytes, at byte offset[] each.
     * Depthwise: a tap is a row of the window, of `words` quads of columns `column` bytes apart. */
    int64_t taps, words, column;
    int sets; /* depthwise: of weights, the second one a column on */
    int64_t *offset;
    int64_t step; /* bytes from a pixel to the next */
    /* The buffer of a band. */
    int64_t pitch, rows;   /* bytes of a row; output rows of a band (plain: pixels) */
    int64_t bands, parts;  /* per image; of the outputs */
    int64_t slices, bytes; /* buffers, one per thread, and their size */
    char *buffer;
    lac_store *store;
    void *weights; /* sums of weights [n], then the weights as the family reads them */
    size_t weight_bytes;
    /* Numbers, [outputs] each; kept as long as nothing changes. */
    bool known;
    lac_epilogue e;
    float x_scale, first_scale;
    int32_t x_zero;
    float *w_scale;        /* as they were */
    float *scale, *bias;   /* x = sum * scale + bias */
    float *factor, *shift; /* the same in steps of the output */
    int32_t *start;        /* what a sum begins with: minus what the zero point adds */
    float inverse;
    float least, most; /* the clip of floats */
    int32_t low, high; /* and of bytes, type included */
    lac_conv_i8_way way;
    lac_dtype beside_dtype;
    float floor, ceiling; /* of floats that become bytes beside: the type's ends */
    /* During a run. */
    char *beside; /* the bytes that finishing floats writes, too, or NULL */
    const char *x;
    bool is_signed;
    int flip; /* xor-ed to the bytes: 128 turns int8 into uint8 with 128 added */
} lac_conv_i8;

/* Outputs first .. first + count of pixels m .. m + pixels; x: the first word of the first one. */
typedef struct lac_conv_i8_row {
    const char *x, *weights;
    int64_t first, m;
    int count, pixels;
} lac_conv_i8_row;

typedef struct lac_conv_i8_family {
    bool depthwise;
    bool beside;   /* it writes lac_conv_i8.beside */
    int element;   /* bytes of an activation in the buffer: 1 (then unsigned), or 2: widened */
    int weight;    /* bytes of a weight: 1 or 2; dense: as activations */
    int lanes;     /* outputs of a vector; depthwise: of a block's least width */
    int block;     /* outputs of a block, at most */
    int64_t cache; /* bytes of a buffer, about */
    void (*row)(const lac_conv_i8 *w, const lac_conv_i8_row *r);
    /* Seconds of `macs` products and of finishing an output. */
    double mac, output;
} lac_conv_i8_family;

/* Bytes of the weights of a block of `count` outputs, a block's first is a multiple of `block`. */
int64_t lac_conv_i8_block_bytes(const lac_conv_i8 *w, int count);
/* Depthwise: where output i of a block of `width` stands among its sums, four vectors of them:
 * interleaving bytes of four columns goes on within 16 bytes. */
static inline int lac_conv_i8_place(int width, int i)
{
    return i % 16 / 4 * (width / 4) + i / 16 * 4 + i % 4;
}
/* Outputs of a block of `count` with those that fill its last vector. */
int lac_conv_i8_width(const lac_conv_i8_family *family, int count);

bool lac_conv_i8_can_run(const lac_conv_i8_family *family, const lac_layer *layer, char *why,
                         size_t why_size);
double lac_conv_i8_cost(const lac_conv_i8_family *family, const lac_layer *layer);
lac_status lac_conv_i8_prepare(const lac_conv_i8_family *family, const lac_layer *layer,
                               void **state, lac_error *err);
lac_status lac_conv_i8_run(const lac_layer *layer, void *state, lac_error *err);
void lac_conv_i8_release(void *state);
size_t lac_conv_i8_bytes(const void *state);

/* Once per family, before its rows. */
#define LAC_CONV_I8_FAMILY(family)                                                                 \
    static bool family##_can_run(const lac_layer *layer, char *why, size_t why_size)               \
    {                                                                                              \
        return lac_conv_i8_can_run(&(family), layer, why, why_size);                               \
    }                                                                                              \
    static double family##_cost(const lac_layer *layer)                                            \
    {                                                                                              \
        return lac_conv_i8_cost(&(family), layer);                                                 \
    }                                                                                              \
    static lac_status family##_prepare(const lac_layer *layer, void **state, lac_error *err)       \
    {                                                                                              \
        return lac_conv_i8_prepare(&(family), layer, state, err);                                  \
    }
#define LAC_CONV_I8_ROW(kind_, name_, dtype_, isa_, family, text)                                  \
    const lac_kernel lac_kernel_##kind_##_##name_ = {LAC_ROW(lac_kernel, #kind_ "_" #name_, text), \
                                                     .kind = #kind_,                               \
                                                     .format = "dense",                            \
                                                     .dtype = dtype_,                              \
                                                     .isa = isa_,                                  \
                                                     .beside = true,                               \
                                                     .can_run = family##_can_run,                  \
                                                     .cost = family##_cost,                        \
                                                     .prepare = family##_prepare,                  \
                                                     .run = lac_conv_i8_run,                       \
                                                     .release = lac_conv_i8_release,               \
                                                     .state_bytes = lac_conv_i8_bytes};

#endif
