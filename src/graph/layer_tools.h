/* What layer kinds and simulators share: synthetic tensors, checked integer operands, matrix
 * products that are plainly right. */
#ifndef LACUNA_GRAPH_LAYER_TOOLS_H
#define LACUNA_GRAPH_LAYER_TOOLS_H

#include <lacuna/layer.h>

/* Draws a new int8 tensor of shape `dims`, element by element in row-major order, from the stream
 * of `role` (CONVENTIONS.md, "The generator"), with the density or N:M of `pattern` (density < 0:
 * 1). The tensor is read as [outer][length][inner]: N:M groups are consecutive along `length`. */
lac_status lac_generate(lac_tensor *tensor, const lac_operand *pattern, uint64_t seed,
                        uint64_t role, bool is_signed, int rank, const int64_t *dims,
                        int64_t length, int64_t inner, lac_error *err);

/* "weights", "hidden state"; NULL: no such role. */
const char *lac_role_name(lac_role role);

/* The operand is there and has `count` elements of whatever type. */
lac_status lac_operand_size(const lac_layer *layer, lac_role role, int64_t count, lac_error *err);
/* The elements of an operand that must be there: `count` of int8, uint8 or int16, zero point 0. */
lac_status lac_operand_need(const lac_layer *layer, lac_role role, int64_t count, lac_error *err);

/* `count` elements from `first` on (int8, uint8, int16) as int16. */
void lac_to_i16(int16_t *target, const lac_tensor *source, int64_t first, int64_t count);

/* sum a[i]*b[i]. `small`: both come from 8-bit elements (see lac_is_small). */
int64_t lac_dot(const int16_t *a, const int16_t *b, int64_t count, bool small);
bool lac_is_small(const lac_tensor *a, const lac_tensor *b);

/* Y[m][n] = sum_k A[m][k] W[n][k] with elements of `a` from a_first on, of `w` from w_first on.
 * LAC_ERROR_INPUT when a sum leaves int32. */
lac_status lac_gemm_reference(int32_t *y, const lac_tensor *a, int64_t a_first, const lac_tensor *w,
                              int64_t w_first, int64_t m, int64_t n, int64_t k, lac_error *err);

/* No operand has elements: only the geometry is known. */
bool lac_layer_is_bare(const lac_layer *layer);

/* Fills `gemm` as a layer m, n, k named like `parent`, without operands. */
lac_status lac_gemm_layer(lac_layer *gemm, const lac_layer *parent, int64_t m, int64_t n, int64_t k,
                          lac_error *err);

/* Elements from `first` on as a borrowed matrix [rows][cols]. */
lac_tensor lac_matrix_view(const lac_tensor *tensor, int64_t first, int64_t rows, int64_t cols);

/* The operand as a borrowed dense matrix [rows][k] ([k][rows] where it is transposed), elements
 * from `first` on. */
lac_operand lac_operand_matrix(const lac_operand *operand, int64_t first, int64_t rows, int64_t k);

/* A copy with axes a < b of [outer][x][y][inner] swapped: outer * [x][y] * inner elements. */
lac_status lac_swap_axes(lac_tensor *target, const lac_tensor *source, int64_t outer, int64_t x,
                         int64_t y, int64_t inner, lac_error *err);

#endif
