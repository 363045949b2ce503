/* Rewriting passes. Each takes a settled graph, rewires nodes and settles it again; results keep
 * the graph's meaning up to float rounding. They run once per session, on its own copy. */
#ifndef LACUNA_EXEC_PASS_H
#define LACUNA_EXEC_PASS_H

#include "exec/exec.h"

/* Constants folded, identities dropped; with `fuse` all the others as well, with `requantise` also
 * the one that leaves no float output to a product whose readers want bytes. */
lac_status lac_passes(lac_graph *graph, bool fuse, bool requantise, lac_error *err);

lac_status lac_pass_fold(lac_graph *graph, lac_error *err);
lac_status lac_pass_identity(lac_graph *graph, lac_error *err);
lac_status lac_pass_norm(lac_graph *graph, lac_error *err);       /* BatchNormalization */
lac_status lac_pass_products(lac_graph *graph, lac_error *err);   /* MatMul, Gemm, Conv */
lac_status lac_pass_qdq(lac_graph *graph, lac_error *err);        /* products of integers */
lac_status lac_pass_activation(lac_graph *graph, lac_error *err); /* GELU and SiLU in pieces */
lac_status lac_pass_attention(lac_graph *graph, lac_error *err);
lac_status lac_pass_epilogue(lac_graph *graph, lac_error *err);   /* bias, residual, activation */
lac_status lac_pass_layout(lac_graph *graph, lac_error *err);     /* channels last */
lac_status lac_pass_requantise(lac_graph *graph, lac_error *err); /* products that write bytes */

/* ---- looking at the graph (match.c)
 * ---------------------------------------------------------------- */

/* The node that makes `value`, if it is operator `op` of the standard domain (NULL: any). */
lac_node *lac_made_by(const lac_graph *graph, int value, const char *op);
/* The same for the operators of fused.c. */
lac_node *lac_made_by_fused(const lac_graph *graph, int value, const char *op);
bool lac_is_op(const lac_node *node, const char *op);
bool lac_is_fused(const lac_node *node, const char *op);
/* The only reader of `value`, or NULL when several or a graph output read it. */
lac_node *lac_only_reader(const lac_graph *graph, int value);
/* The constant of `value`, or NULL. */
const lac_tensor *lac_constant_of(const lac_graph *graph, int value);
/* Whether `value` is a float constant with one element near `expected`. */
bool lac_is_number(const lac_graph *graph, int value, double expected);
/* The single float of a one-element constant. */
bool lac_number_of(const lac_graph *graph, int value, float *number);
/* Integers of a constant, or of an attribute: how the same argument is given in old and new
 * opsets. Returns how many, -1 when not known. */
int lac_ints_of(const lac_graph *graph, const lac_node *node, int input, const char *attr,
                int64_t *ints, int limit);
/* Equal known shapes (sizes or symbols). */
bool lac_same_shape(const lac_graph *graph, int a, int b);
/* All readers of `from` read `to` instead (graph outputs too). */
void lac_replace_value(lac_graph *graph, int from, int to);
void lac_delete_node(lac_node *node);

/* `node` dequantises weights of a product that lac_pass_qdq will turn into one of integers, or a
 * matrix that a product of floats may read as int8. */
bool lac_is_integer_weight(const lac_graph *graph, const lac_node *node);

lac_status lac_exec_set_activation(lac_graph *graph, lac_node *node, lac_activation activation,
                                   float low, float high, lac_error *err);

#endif
