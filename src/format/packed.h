/* What all formats share: views, the checks that come before a row's own, building of bodies. */
#ifndef LACUNA_FORMAT_PACKED_H
#define LACUNA_FORMAT_PACKED_H

#include <lacuna/format.h>

/* rows and cols of the matrix that `view` makes of a tensor; refuses ranks the view has not. */
lac_status lac_view_size(lac_view view, int rank, const int64_t *dims, int64_t *rows, int64_t *cols,
                         lac_error *err);
const char *lac_view_name(lac_view view); /* "rows", "columns", "conv" */
lac_status lac_view_parse(const char *name, lac_view *view, lac_error *err);

/* A new graph whose inputs are the fields (named as in the row) and whose one output, "tensor", is
 * the unpacked weight: the row's unpack_graph and the view behind it, in standard operators of
 * opset 17. For the function bodies of saved models. `packed` needs field dims, not their data. */
lac_status lac_unpack_body(const lac_packed *packed, lac_graph **body, lac_error *err);

/* Allocates field `index` with `count` elements. */
lac_status lac_field_make(lac_packed *packed, int index, int64_t count, lac_error *err);
/* Refuses a field whose length is not `count`: "field 'index' has 7 elements, want 8". */
lac_status lac_field_check(const lac_packed *packed, int index, int64_t count, lac_error *err);

/* ---- for unpack_graph: one standard operator or constant at a time --------------------------- */

/* Appends op(in...) with one output; -1 in `in` is an absent input. The node can get attributes. */
lac_status lac_body_op(lac_graph *graph, const char *op, int n_in, const int *in, int *out,
                       lac_node **node, lac_error *err);
lac_status lac_body_ints(lac_graph *graph, int n, const int64_t *values, int *out, lac_error *err);
lac_status lac_body_int32s(lac_graph *graph, int n, const int32_t *values, int *out,
                           lac_error *err);
lac_status lac_body_cast(lac_graph *graph, int in, lac_dtype dtype, int *out, lac_error *err);
lac_status lac_body_reshape(lac_graph *graph, int in, int n, const int64_t *dims, int *out,
                            lac_error *err);
/* Elements [begin, end) along `axis`. */
lac_status lac_body_slice(lac_graph *graph, int in, int64_t axis, int64_t begin, int64_t end,
                          int *out, lac_error *err);
/* Zeros of `dtype`. */
lac_status lac_body_zeros(lac_graph *graph, lac_dtype dtype, int n, const int64_t *dims, int *out,
                          lac_error *err);
/* `x` op (int64) `number`. */
lac_status lac_body_number(lac_graph *graph, const char *op, int x, int64_t number, int *out,
                           lac_error *err);
/* For `n` segments that follow one another, of counts[i] elements each, at most `most`: the segment
 * of every one of the `total` elements. int64. */
lac_status lac_body_segments(lac_graph *graph, int counts, int64_t n, int64_t most, int64_t total,
                             int *segment, lac_error *err);
/* As ScatterElements into zeros [count] of `dtype`, but an element where `drop` is true goes
 * nowhere; the others have places of their own. All one-dimensional, places int64. */
lac_status lac_body_scatter(lac_graph *graph, lac_dtype dtype, int64_t count, int places,
                            int values, int drop, int *out, lac_error *err);
/* `rows` bit strings, each in `row_bytes` whole bytes of the uint8 value `in`, LSB first: the first
 * `count` numbers of `bits` bits of every row, as int64 [rows][count]. */
lac_status lac_body_bits(lac_graph *graph, int in, int64_t rows, int64_t row_bytes, int64_t count,
                         int bits, int *out, lac_error *err);

#endif
