/* The unpacking of `eie-csc` in standard ONNX operators. */
#ifndef LACUNA_FORMAT_EIE_CSC_GRAPH_H
#define LACUNA_FORMAT_EIE_CSC_GRAPH_H

#include <lacuna/graph.h>

/* Appends nodes (operators of opset 13) that turn field = {entries, pointers, codebook} into
 * *matrix [rows][cols] of `dtype`. */
lac_status lac_eie_csc_graph(lac_graph *graph, int64_t rows, int64_t cols, int64_t pe,
                             int code_bits, int index_bits, lac_dtype dtype, const int *field,
                             int *matrix, lac_error *err);

#endif
