/* A node with tensors of its own, for tests of single operators. */
#ifndef LACUNA_TESTS_OP_BED_H
#define LACUNA_TESTS_OP_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lacuna/graph.h>
#include <lacuna/op.h>
#include <string.h>

enum { OP_BED_MOST = 8 };

typedef struct op_bed {
    lac_graph *graph;
    lac_node *node;
    const lac_op *op;
    lac_tensor in[OP_BED_MOST], out[OP_BED_MOST];
    const lac_tensor *list[OP_BED_MOST]; /* NULL: absent */
    int n_in, n_out, opset;
    lac_error err;
} op_bed;

static inline void op_bed_start(op_bed *bed, const char *op, int opset, int n_in, int n_out)
{
    int in[OP_BED_MOST], out[OP_BED_MOST];
    memset(bed, 0, sizeof *bed);
    bed->n_in = n_in;
    bed->n_out = n_out;
    bed->opset = opset;
    assert_int_equal(lac_graph_make(&bed->graph, "bed", opset, &bed->err), LAC_OK);
    for (int i = 0; i < n_in; i++)
        assert_int_equal(lac_graph_value(bed->graph, NULL, &in[i], &bed->err), LAC_OK);
    for (int i = 0; i < n_out; i++)
        assert_int_equal(lac_graph_value(bed->graph, NULL, &out[i], &bed->err), LAC_OK);
    assert_int_equal(
        lac_graph_node(bed->graph, "", op, "node", n_in, in, n_out, out, &bed->node, &bed->err),
        LAC_OK);
    bed->op = lac_op_find("", op);
    assert_non_null(bed->op);
}

/* Input i with a copy of `data` (zeros where NULL). */
static inline void op_bed_in(op_bed *bed, int i, lac_dtype dtype, int rank, const int64_t *dims,
                             const void *data)
{
    assert_int_equal(lac_tensor_make(&bed->in[i], dtype, rank, dims, &bed->err), LAC_OK);
    if (data)
        memcpy(bed->in[i].data, data, lac_tensor_bytes(&bed->in[i]));
    bed->list[i] = &bed->in[i];
}

/* Input i with a shape and no data. */
static inline void op_bed_shape(op_bed *bed, int i, lac_dtype dtype, int rank, const int64_t *dims)
{
    bed->in[i] = lac_tensor_view(dtype, rank, dims, NULL);
    bed->list[i] = &bed->in[i];
}

static inline lac_status op_bed_infer(op_bed *bed)
{
    lac_call call = {bed->node, bed->opset, bed->n_in, bed->n_out, bed->list, bed->out};
    return bed->op->infer(&call, &bed->err);
}

/* infer, allocate, run. */
static inline lac_status op_bed_run(op_bed *bed)
{
    lac_call call = {bed->node, bed->opset, bed->n_in, bed->n_out, bed->list, bed->out};
    LAC_TRY(bed->op->infer(&call, &bed->err));
    for (int i = 0; i < bed->n_out; i++) {
        lac_tensor shape = bed->out[i];
        LAC_TRY(lac_tensor_make(&bed->out[i], shape.dtype, shape.rank, shape.dims, &bed->err));
    }
    return bed->op->run(&call, &bed->err);
}

static inline void op_bed_stop(op_bed *bed)
{
    for (int i = 0; i < OP_BED_MOST; i++) {
        lac_tensor_release(&bed->in[i]);
        lac_tensor_release(&bed->out[i]);
    }
    lac_graph_free(bed->graph);
}

#endif
