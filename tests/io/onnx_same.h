/* Two graphs say the same: for round trips through files. Include it after cmocka.h and
 * io/temporary.h. */
#ifndef LACUNA_TESTS_IO_ONNX_SAME_H
#define LACUNA_TESTS_IO_ONNX_SAME_H

#include <lacuna/lacuna.h>

static inline void same_tensor(const lac_tensor *a, const lac_tensor *b, const char *what)
{
    char text_a[128], text_b[128];
    if (a->dtype != b->dtype || a->rank != b->rank ||
        memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) != 0)
        fail_msg("%s: %s, then %s", what, lac_tensor_text(a, text_a, sizeof text_a),
                 lac_tensor_text(b, text_b, sizeof text_b));
    if (lac_tensor_bytes(a) && memcmp(a->data, b->data, lac_tensor_bytes(a)) != 0)
        fail_msg("%s: other bytes", what);
}

static inline const char *name_of(const lac_graph *graph, int value)
{
    return value < 0 ? "" : graph->values[value].name;
}

static inline void same_value(const lac_graph *a, int va, const lac_graph *b, int vb)
{
    assert_string_equal(name_of(a, va), name_of(b, vb));
    if (va < 0)
        return;
    const lac_value *x = &a->values[va], *y = &b->values[vb];
    assert_int_equal(x->dtype, y->dtype);
    assert_int_equal(x->rank, y->rank);
    for (int i = 0; i < x->rank; i++) {
        assert_int_equal(x->dims[i].size, y->dims[i].size);
        assert_int_equal(!x->dims[i].symbol, !y->dims[i].symbol);
        if (x->dims[i].symbol)
            assert_string_equal(x->dims[i].symbol, y->dims[i].symbol);
    }
    assert_int_equal(!x->constant.data, !y->constant.data);
    if (x->constant.data)
        same_tensor(&x->constant, &y->constant, x->name);
}

static inline void same_attr(const lac_attr *a, const lac_attr *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->type, b->type);
    switch (a->type) {
    case LAC_ATTR_INT:
        assert_int_equal(a->i, b->i);
        break;
    case LAC_ATTR_FLOAT:
        assert_memory_equal(&a->f, &b->f, sizeof a->f);
        break;
    case LAC_ATTR_STRING:
        assert_string_equal(a->s, b->s);
        break;
    case LAC_ATTR_TENSOR:
        same_tensor(&a->tensor, &b->tensor, a->name);
        break;
    case LAC_ATTR_INTS:
        assert_int_equal(a->n, b->n);
        assert_true(a->n == 0 || memcmp(a->ints, b->ints, (size_t)a->n * sizeof *a->ints) == 0);
        break;
    case LAC_ATTR_FLOATS:
        assert_int_equal(a->n, b->n);
        assert_true(a->n == 0 ||
                    memcmp(a->floats, b->floats, (size_t)a->n * sizeof *a->floats) == 0);
        break;
    case LAC_ATTR_STRINGS:
        assert_int_equal(a->n, b->n);
        for (int64_t i = 0; i < a->n; i++)
            assert_string_equal(a->strings[i], b->strings[i]);
        break;
    }
}

static inline void same_graph(const lac_graph *a, const lac_graph *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->opset, b->opset);
    assert_int_equal(a->n_inputs, b->n_inputs);
    assert_int_equal(a->n_outputs, b->n_outputs);
    assert_int_equal(a->n_nodes, b->n_nodes);
    assert_int_equal(a->n_meta, b->n_meta);
    for (int i = 0; i < a->n_inputs; i++)
        same_value(a, a->inputs[i], b, b->inputs[i]);
    for (int i = 0; i < a->n_outputs; i++)
        same_value(a, a->outputs[i], b, b->outputs[i]);
    for (int i = 0; i < a->n_meta; i++) {
        assert_string_equal(a->meta[i].key, b->meta[i].key);
        assert_string_equal(a->meta[i].text, b->meta[i].text);
    }
    for (int n = 0; n < a->n_nodes; n++) {
        const lac_node *x = &a->nodes[n], *y = &b->nodes[n];
        assert_string_equal(x->name, y->name);
        assert_string_equal(x->domain, y->domain);
        assert_string_equal(x->op, y->op);
        assert_int_equal(x->n_in, y->n_in);
        assert_int_equal(x->n_out, y->n_out);
        assert_int_equal(x->n_attrs, y->n_attrs);
        for (int i = 0; i < x->n_in; i++)
            same_value(a, x->in[i], b, y->in[i]);
        for (int i = 0; i < x->n_out; i++)
            same_value(a, x->out[i], b, y->out[i]);
        for (int i = 0; i < x->n_attrs; i++)
            same_attr(&x->attrs[i], &y->attrs[i]);
    }
}

/* Saves, loads, compares; leaves the file. */
static inline void round_trip(const lac_graph *graph, const char *path, size_t external_bytes)
{
    lac_error err = {0};
    lac_graph *again;
    ok(lac_onnx_save(graph, path, external_bytes, &err), &err);
    ok(lac_onnx_load(&again, path, &err), &err);
    same_graph(graph, again);
    lac_graph_free(again);
}

#endif
