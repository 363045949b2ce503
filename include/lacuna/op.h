/* lacuna/op.h - a row of the operator table.
 *
 * An operator is defined by its portable reference kernel (`run`): that is the semantics. Where
 * the operator is also a unit of work for kernels and simulators, `as_layer` says which. */
#ifndef LACUNA_OP_H
#define LACUNA_OP_H

#include <lacuna/graph.h>
#include <lacuna/layer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One application of an operator to concrete shapes. in[i] is NULL where an optional input is
 * absent. During `infer` an input has data only if its value is known before the run (constants,
 * shapes); during `run` all have. out[i] has dtype LAC_NONE where an optional output is unwanted.
 */
typedef struct lac_call {
    const lac_node *node;
    int opset;
    int n_in, n_out;
    const lac_tensor *const *in;
    lac_tensor *out;
} lac_call;

enum {                         /* lac_op.flags */
       LAC_OP_VIEW = 1,        /* output 0 is the bytes of input 0 under another shape */
       LAC_OP_INPLACE = 2,     /* output 0 may overwrite input 0 when both have the same bytes */
       LAC_OP_ELEMENTWISE = 4, /* each output element depends on input elements of its position only
                                  (broadcasting allowed): free to run in any common layout */
       LAC_OP_RANDOM = 8       /* never folded */
};

typedef struct lac_op {
    lac_row row; /* name: the operator's ONNX name */
    const char *domain;
    int since;       /* first opset whose form is read (attributes or inputs) */
    uint32_t dtypes; /* LAC_BIT set of element types claimed for input 0 (T) */
    const char *
        attributes; /* "axis:int=-1 epsilon:float=1e-5": schema; an unknown attribute is an error */
    uint32_t flags;
    /* Sets dtype, rank and dims of every wanted output; checks inputs (count, dtype, shapes).
     * LAC_ERROR_UNSUPPORTED with "shape depends on data of input 'x'" where a value is needed
     * that is not known. Never reads data that is not there; total for any shapes. */
    lac_status (*infer)(const lac_call *call, lac_error *err);
    /* Computes outputs whose data the caller has allocated. Portable C. */
    lac_status (*run)(const lac_call *call, lac_error *err);
    /* NULL: not a layer. Fills kind, dims, operands (borrowed views), numeric spec; the layer's
     * `output` is out[0]. LAC_ERROR_UNSUPPORTED: this form is not a layer, the reason in err. */
    lac_status (*as_layer)(const lac_call *call, lac_layer *layer, lac_error *err);
    /* Appends to `graph` standard operators (opset 13 and newer) that make the gradients of the
     * inputs from those of the outputs; NULL: no gradient. `node` belongs to another graph with the
     * same value numbers, whose nodes stay where they are; element types and shapes of `graph`'s
     * values are set as far as they are known. grad_out[i]: the value with the gradient of output
     * i, -1 where nothing depends on it (of at least one something does). grad_in[i] is 0 where
     * the gradient is wanted and -1 where not; the hook replaces the 0 by the value, or by -1 when
     * none flows there. LAC_ERROR_UNSUPPORTED: not for this form, the reason in err. */
    lac_status (*gradient)(lac_graph *graph, const lac_node *node, const int *grad_out,
                           int *grad_in, lac_error *err);
} lac_op;

LAC_API extern lac_table lac_ops;
/* For plug-ins: `row` must live as long as the process. */
LAC_API lac_status lac_register_op(const lac_op *row, lac_error *err);
/* The row for (domain, name), or NULL. */
LAC_API const lac_op *lac_op_find(const char *domain, const char *name);

#ifdef __cplusplus
}
#endif
#endif
