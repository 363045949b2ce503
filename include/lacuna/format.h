/* lacuna/format.h - a row of the format table: one packed layout of a weight matrix.
 *
 * A format packs a matrix [rows][cols]: one row per output, K (the reduction) along the columns.
 * How a weight tensor becomes that matrix is the *view*, shared by all formats. The packed bytes
 * are a few typed one-dimensional arrays, the fields. */
#ifndef LACUNA_FORMAT_H
#define LACUNA_FORMAT_H

#include <lacuna/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LAC_MAX_FIELDS 6

typedef enum lac_view {
    LAC_VIEW_ROWS,    /* tensor [n][k...]: Gemm transB=1, LSTM, plain matrices */
    LAC_VIEW_COLUMNS, /* tensor [k][n]: MatMul */
    LAC_VIEW_CONV     /* tensor [n][c][r][s], K order r, s, c (c fastest) */
} lac_view;

typedef struct lac_field {
    const char *name;
    lac_dtype dtype; /* LAC_NONE: that of the unpacked elements */
    const char *summary;
} lac_field;

typedef struct lac_packed {
    const struct lac_format *format;
    lac_params params;
    lac_view view;
    lac_dtype dtype; /* of the unpacked elements: float32, int8, ... */
    int rank;        /* shape of the unpacked tensor, before the view */
    int64_t dims[LAC_MAX_RANK];
    int64_t rows, cols;               /* of the matrix that the view makes of it */
    lac_tensor field[LAC_MAX_FIELDS]; /* one-dimensional */
    /* Measured to be faster packed: the executor runs it so wherever it has a kernel, whatever it
     * would estimate (attribute `prefer` of the node: "packed"). */
    bool prefer;
} lac_packed;

typedef struct lac_format {
    lac_row row;
    const lac_param *params;
    uint32_t dtypes;                      /* element types it packs */
    lac_field fields[LAC_MAX_FIELDS + 1]; /* ends with name NULL */
    /* Packs `matrix` [rows][cols] (contiguous, packed->dtype) into the fields of `packed`, whose
     * format, params, view, dtype, rank, dims, rows, cols are set. LAC_ERROR_INPUT when the matrix
     * does not fit the format (3 non-zeros in a 2:4 group; 300 distinct values for 8 bits). */
    lac_status (*pack)(lac_packed *packed, const lac_tensor *matrix, lac_error *err);
    /* The exact inverse, into an allocated matrix [rows][cols]. Call only after validate. */
    lac_status (*unpack)(const lac_packed *packed, lac_tensor *matrix, lac_error *err);
    /* Accepts exactly what unpack and the kernels can read: lengths, ranges, orders. Total: any
     * bytes, any sizes; no reads outside, no overflow. */
    lac_status (*validate)(const lac_packed *packed, lac_error *err);
    /* Bytes of all fields by formula, without packing: for `inspect`. `matrix` may be needed for
     * counts (non-zeros, padding); exact: equals the bytes of the fields pack makes.
     * LAC_ERROR_INPUT: the matrix does not fit the format. */
    lac_status (*bytes)(const lac_packed *packed, const lac_tensor *matrix, int64_t *bytes,
                        lac_error *err);
    /* Appends standard ONNX operators (opset 13..17, no constants larger than the field sizes
     * justify) that turn the values `field[i]` into the matrix [rows][cols]; *matrix is the value.
     */
    lac_status (*unpack_graph)(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err);
    /* ---- what follows may stay NULL: every matrix fits, whatever the parameters */
    /* What makes any matrix fit: "pruning to n:m", n and m being parameters. */
    const char *remedy;
    /* Bytes of the fields after the remedy, by formula: zeros stay where they are, everything else
     * follows from shape and parameters. Given exactly when `remedy` is. */
    lac_status (*bytes_after)(const lac_packed *packed, const lac_tensor *matrix, int64_t *bytes,
                              lac_error *err);
    /* Sets those parameters of `packed` that decide what fits so that `matrix` takes the fewest
     * bytes; leaves them as they are when it fits with none. */
    lac_status (*fit)(lac_packed *packed, const lac_tensor *matrix, lac_error *err);
    /* The parameter that is the length of groups along K; NULL: the format has none. */
    const char *group;
    /* The field of shared values that codes point into, zero-based codes meaning its elements in
     * order: training moves these values and leaves the codes alone; NULL: values are not shared.
     */
    const char *book;
    /* Elements are integers with a scale: a small step of training gets lost in the rounding. */
    bool integers;
    /* Parameters worth measuring one after the other on a weight ("r=4,c=4"), ends with NULL; NULL:
     * what `fit` finds, else the defaults. */
    const char *const *forms;
} lac_format;

LAC_API extern lac_table lac_formats;
/* For plug-ins: `row` must live as long as the process. */
LAC_API lac_status lac_register_format(const lac_format *row, lac_error *err);

/* "nm:n=2,m=4": the row and its parameters. */
LAC_API lac_status lac_format_parse(const char *text, const lac_format **format, lac_params *params,
                                    lac_error *err);
/* Packs a weight tensor (any rank its view allows). Release with lac_packed_release. */
LAC_API lac_status lac_pack(lac_packed *packed, const lac_format *format, const lac_params *params,
                            lac_view view, const lac_tensor *tensor, lac_error *err);
/* Validates, unpacks, undoes the view. */
LAC_API lac_status lac_unpack(const lac_packed *packed, lac_tensor *tensor, lac_error *err);
/* Shape, params and field lengths/types against the row, then the row's validate. */
LAC_API lac_status lac_packed_validate(const lac_packed *packed, lac_error *err);
/* Sum of the bytes of the fields. */
LAC_API int64_t lac_packed_bytes(const lac_packed *packed);
LAC_API lac_status lac_format_bytes(const lac_format *format, const lac_params *params,
                                    lac_view view, const lac_tensor *tensor, int64_t *bytes,
                                    lac_error *err);
/* As the row's functions of these names; lac_format_bytes_after: LAC_ERROR_UNSUPPORTED when the
 * format has no remedy, or has groups that the windows of a convolution do not hold whole (the
 * channels of a window are no multiple of their length). */
LAC_API lac_status lac_format_bytes_after(const lac_format *format, const lac_params *params,
                                          lac_view view, const lac_tensor *tensor, int64_t *bytes,
                                          lac_error *err);
LAC_API lac_status lac_format_fit(const lac_format *format, lac_params *params, lac_view view,
                                  const lac_tensor *tensor, lac_error *err);
/* Whether groups of `m` along K keep to themselves what lies apart: always for rows and columns
 * (the last group may be short), for conv when m divides the channels, K order being r, s, c. The
 * accelerators' padding of every (r, s) run of channels to whole groups then changes nothing. */
LAC_API bool lac_view_groups(lac_view view, int rank, const int64_t *dims, int64_t m);
LAC_API void lac_packed_release(lac_packed *packed);
/* tensor -> new contiguous matrix [rows][cols] by the view, and back. */
LAC_API lac_status lac_view_matrix(lac_view view, const lac_tensor *tensor, lac_tensor *matrix,
                                   lac_error *err);
LAC_API lac_status lac_view_tensor(lac_view view, const lac_tensor *matrix, int rank,
                                   const int64_t *dims, lac_tensor *tensor, lac_error *err);

/* A packed weight in a graph: node lacuna.Unpack, attributes format, params, view, dtype, shape;
 * its inputs are the fields in the row's order. */
LAC_API lac_status lac_packed_from_node(lac_packed *packed, const lac_node *node, int n_in,
                                        const lac_tensor *const *in, lac_error *err);
LAC_API lac_status lac_packed_to_graph(const lac_packed *packed, lac_graph *graph,
                                       const char *value_name, int *value, lac_error *err);

#ifdef __cplusplus
}
#endif
#endif
