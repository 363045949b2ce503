/* What every operator needs: checks of inputs, shapes with broadcasting, sets of element types,
 * walks over strided elements, copies of strided blocks.
 *
 * The checking functions are total: they look at shapes of any size and at data only where it is
 * known. Messages name the input by the name the operator's specification gives it. */
#ifndef LACUNA_OP_COMMON_H
#define LACUNA_OP_COMMON_H

#include <lacuna/op.h>

/* ---- sets of element types --------------------------------------------------------------- */

#define LAC_OP_FLOATS   (LAC_BIT(LAC_F32) | LAC_BIT(LAC_F64) | LAC_BIT(LAC_F16) | LAC_BIT(LAC_BF16))
#define LAC_OP_SIGNED   (LAC_BIT(LAC_I8) | LAC_BIT(LAC_I16) | LAC_BIT(LAC_I32) | LAC_BIT(LAC_I64))
#define LAC_OP_UNSIGNED (LAC_BIT(LAC_U8) | LAC_BIT(LAC_U16) | LAC_BIT(LAC_U32) | LAC_BIT(LAC_U64))
#define LAC_OP_INTS     (LAC_OP_SIGNED | LAC_OP_UNSIGNED)
#define LAC_OP_NUMBERS  (LAC_OP_FLOATS | LAC_OP_INTS)
#define LAC_OP_ANY      (LAC_OP_NUMBERS | LAC_BIT(LAC_BOOL)) /* whole bytes an element */
#define LAC_OP_INDEX    (LAC_BIT(LAC_I32) | LAC_BIT(LAC_I64))

/* X(dtype, C type) for each group; 16-bit floats are not C types and go through float. */
#define LAC_OP_EACH_SIGNED(X)                                                                      \
    X(LAC_I8, int8_t)                                                                              \
    X(LAC_I16, int16_t)                                                                            \
    X(LAC_I32, int32_t)                                                                            \
    X(LAC_I64, int64_t)
#define LAC_OP_EACH_UNSIGNED(X)                                                                    \
    X(LAC_U8, uint8_t)                                                                             \
    X(LAC_U16, uint16_t)                                                                           \
    X(LAC_U32, uint32_t)                                                                           \
    X(LAC_U64, uint64_t)
#define LAC_OP_EACH_INT(X)                                                                         \
    LAC_OP_EACH_SIGNED(X)                                                                          \
    LAC_OP_EACH_UNSIGNED(X)
#define LAC_OP_EACH_FLOAT(X)                                                                       \
    X(LAC_F32, float)                                                                              \
    X(LAC_F64, double)

/* Elements per thread below which a loop is not worth splitting. */
enum { LAC_OP_GRAIN = 16384 };

/* ---- checks and shapes, for infer ---------------------------------------------------------- */

/* The call has `min`..`max` inputs, the first `min` are present, and input 0 has a type of the set.
 * `max` -1: any number. */
lac_status lac_op_inputs(const lac_call *call, int min, int max, uint32_t dtypes, lac_error *err);
/* Input `i` called `name` has a type of the set. */
lac_status lac_op_type(const lac_call *call, int i, const char *name, uint32_t dtypes,
                       lac_error *err);
/* Input `i`, or NULL where it is absent. */
static inline const lac_tensor *lac_op_in(const lac_call *call, int i)
{
    return i < call->n_in ? call->in[i] : NULL;
}
/* Is output `i` wanted? Valid in infer and in run. */
static inline bool lac_op_wanted(const lac_call *call, int i)
{
    return i < call->n_out && (!call->node->out || call->node->out[i] >= 0);
}
/* Sets the shape of output `i` (if wanted) after checking that its bytes do not overflow. `dims`
 * must not be the output's own. */
lac_status lac_op_out(const lac_call *call, int i, lac_dtype dtype, int rank, const int64_t *dims,
                      lac_error *err);
/* Output 0 has the type and shape of input 0. */
lac_status lac_op_out_same(const lac_call *call, lac_error *err);
/* -rank..rank-1 -> 0..rank-1. */
lac_status lac_op_axis(int64_t value, int rank, int *axis, lac_error *err);
/* A list of axes -> is[axis] = true, rank `rank`; twice the same is an error. */
lac_status lac_op_axes(int64_t n, const int64_t *axes, int rank, bool *is, lac_error *err);
/* Multidirectional broadcasting of inputs `first`..`last` (absent ones are skipped). */
lac_status lac_op_broadcast(const lac_call *call, int first, int last, int *rank, int64_t *dims,
                            lac_error *err);
/* The integers of input `i` (int32 or int64, rank 0 or 1, at most `max`), which must be known:
 * LAC_ERROR_UNSUPPORTED "shape depends on data of input 'name'" where they are not. */
lac_status lac_op_ints(const lac_call *call, int i, const char *name, int max, int64_t *values,
                       int *n, lac_error *err);
/* Product of dims[begin..end), of a checked shape (0 where one of them is 0). */
int64_t lac_op_product(const int64_t *dims, int begin, int end);
/* Bytes of one element; the types of LAC_OP_ANY. */
static inline size_t lac_op_size(lac_dtype dtype)
{
    return (size_t)lac_dtype_bits(dtype) / 8;
}
/* Copies input `i` to output `o` unless they share their bytes: run of views. */
void lac_op_copy(const lac_call *call, int i, int o);
/* Integer element of an int32 / int64 index tensor. */
static inline int64_t lac_op_index(const lac_tensor *indices, int64_t i)
{
    return indices->dtype == LAC_I32 ? ((const int32_t *)indices->data)[i]
                                     : ((const int64_t *)indices->data)[i];
}

/* ---- strided walks ------------------------------------------------------------------------- */

enum { LAC_WALK_RANK = 2 * LAC_MAX_RANK, LAC_WALK_OPERANDS = 4 };

/* The same indices for several operands, each with its strides (in elements; 0 repeats, negative
 * goes backwards). */
typedef struct lac_walk {
    int rank, operands;
    int64_t dims[LAC_WALK_RANK];
    int64_t stride[LAC_WALK_OPERANDS][LAC_WALK_RANK];
} lac_walk;

/* Row-major strides of `dims`. */
void lac_op_strides(int rank, const int64_t *dims, int64_t *strides);
/* Walk over the output shape `rank`, `dims`: operand 0 is the output, dense; operand k the
 * tensor in[k-1] broadcast to it. Collapsed. */
void lac_walk_broadcast(lac_walk *walk, int rank, const int64_t *dims, int n,
                        const lac_tensor *const *in);
/* Drops dims of size 1 and joins neighbours that are one run for every operand; rank >= 1 then. */
void lac_walk_collapse(lac_walk *walk);
/* body(context, offset, n) for runs along the last dim that cover everything: offset[k] is the
 * first element of operand k, walk->stride[k][walk->rank - 1] the step. In parallel. */
void lac_walk_each(const lac_walk *walk, int64_t grain,
                   void (*body)(void *context, const int64_t *offset, int64_t n), void *context);
/* Copies elements of `size` bytes from operand 1 at `source` to operand 0 at `target`: memcpy for
 * runs, blocked where it is a transposition. Parallel; operand 0 must not repeat. */
void lac_walk_copy(lac_walk walk, size_t size, void *target, const void *source);

/* ---- 16-bit floats ------------------------------------------------------------------------- */

/* n elements of F16 or BF16 <-> float. `step` in elements of the 16-bit side. */
void lac_op_widen(lac_dtype dtype, const uint16_t *half, int64_t step, float *out, int64_t n);
void lac_op_narrow(lac_dtype dtype, const float *in, uint16_t *half, int64_t n);

#endif
