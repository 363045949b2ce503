/* How a weight is stored says what it may do. Codes of shared weights come out of the packed bytes
 * by unpacking them with a codebook that holds the numbers 0, 1, 2, ...; new centroids go back into
 * the codebook alone, so that no code can change. */
#include "train/parameter.h"

#include "core/memory.h"

#include <lacuna/scheme.h>
#include <string.h>

/* Nodes between constants and a weight: what lac_weights_find follows. */
enum { DEPTH = 4 };

const char *lac_constraint_name(lac_constraint constraint)
{
    return constraint == LAC_TRAIN_SHARED   ? "shared"
           : constraint == LAC_TRAIN_MASKED ? "masked"
                                            : "free";
}

/* ---- how a value is stored ------------------------------------------------------------------- */

static const lac_node *producer_of(const lac_graph *graph, int value)
{
    int producer = graph->values[value].producer;
    return producer >= 0 ? &graph->nodes[producer] : NULL;
}

static bool is_unpack(const lac_node *node)
{
    return node && strcmp(node->domain, "lacuna") == 0 && strcmp(node->op, "Unpack") == 0;
}

/* The packed weight that node `node` unpacks; release it. */
static lac_status read_packed(const lac_graph *graph, const lac_node *node, lac_packed *packed,
                              lac_error *err)
{
    const lac_tensor *in[LAC_MAX_FIELDS] = {0};
    for (int i = 0; i < node->n_in && i < LAC_MAX_FIELDS; i++)
        in[i] = node->in[i] >= 0 ? &graph->values[node->in[i]].constant : NULL;
    return lac_packed_from_node(packed, node, node->n_in, in, err);
}

/* The field that holds the shared values, or -1 for a format without. */
static int book_of(const lac_format *format)
{
    for (int i = 0; format->book && i < LAC_MAX_FIELDS && format->fields[i].name; i++)
        if (strcmp(format->fields[i].name, format->book) == 0)
            return i;
    return -1;
}

static lac_status share_codes(lac_parameter *p, lac_packed *packed, int book, lac_error *err)
{
    lac_tensor *field = &packed->field[book], values = *field, codes = {0};
    int64_t count = lac_tensor_count(&p->tensor);
    LAC_TRY(lac_packed_validate(packed, err));
    if (lac_tensor_count(field) > LAC_MOST_CENTROIDS)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "a weight shares %lld values, limit %d",
                        (long long)lac_tensor_count(field), LAC_MOST_CENTROIDS);
    p->centroids = (int)lac_tensor_count(field);
    p->constraint = LAC_TRAIN_SHARED;
    memset(field, 0, sizeof *field);
    lac_status status = lac_tensor_make(field, values.dtype, 1, values.dims, err);
    for (int k = 0; status == LAC_OK && k < p->centroids; k++) {
        p->centroid[k] = lac_tensor_get(&values, k);
        p->held[k] = p->centroid[k] == 0;
        lac_tensor_set(field, k, k);
    }
    lac_tensor_release(&values);
    if (status == LAC_OK)
        status = lac_unpack(packed, &codes, err);
    LAC_TRY(status);
    for (int64_t i = 0; i < count; i++)
        p->code[i] = (uint8_t)lac_tensor_get(&codes, i);
    lac_tensor_release(&codes);
    return LAC_OK;
}

static void mask_zeros(lac_parameter *p)
{
    bool any = p->constraint == LAC_TRAIN_MASKED;
    int64_t count = lac_tensor_count(&p->tensor);
    for (int64_t i = 0; i < count; i++) {
        p->code[i] = ((const float *)p->tensor.data)[i] != 0;
        any |= !p->code[i];
    }
    p->constraint = any ? LAC_TRAIN_MASKED : LAC_TRAIN_FREE;
}

static lac_status constrain(lac_parameter *p, const lac_graph *graph, lac_error *err)
{
    const lac_node *node = producer_of(graph, p->value);
    int64_t count = lac_tensor_count(&p->tensor);
    p->code = lac_alloc((size_t)count, 1, err);
    if (!p->code)
        return LAC_ERROR_MEMORY;
    if (is_unpack(node)) {
        lac_packed packed;
        LAC_TRY(read_packed(graph, node, &packed, err));
        int book = book_of(packed.format);
        lac_status status = LAC_OK;
        if (packed.format->integers)
            status = lac_fail(err, LAC_ERROR_UNSUPPORTED,
                              "weight '%s' is stored as integers with a scale: retrain before "
                              "quantising",
                              graph->values[p->value].name);
        p->constraint = LAC_TRAIN_MASKED;
        if (status == LAC_OK && book >= 0)
            status = share_codes(p, &packed, book, err);
        lac_packed_release(&packed);
        LAC_TRY(status);
    }
    if (p->constraint != LAC_TRAIN_SHARED)
        mask_zeros(p);
    p->velocity = lac_alloc(p->constraint == LAC_TRAIN_SHARED ? LAC_MOST_CENTROIDS : (size_t)count,
                            sizeof *p->velocity, err);
    return p->velocity ? LAC_OK : LAC_ERROR_MEMORY;
}

/* ---- which values are parameters ------------------------------------------------------------- */

typedef struct search {
    const lac_graph *graph;
    unsigned char *needed; /* of each value: the logits depend on it */
    lac_parameter *found;
    int n;
} search;

static void mark_needed(search *s, int logits)
{
    s->needed[logits] = 1;
    for (int n = s->graph->n_nodes; n-- > 0;) {
        const lac_node *node = &s->graph->nodes[n];
        bool any = false;
        for (int i = 0; i < node->n_out; i++)
            any |= node->out[i] >= 0 && s->needed[node->out[i]];
        for (int i = 0; any && i < node->n_in; i++)
            if (node->in[i] >= 0)
                s->needed[node->in[i]] = 1;
    }
}

/* Takes over `tensor`. */
static lac_status add(search *s, int value, lac_tensor *tensor, lac_error *err)
{
    const lac_value *v = &s->graph->values[value];
    if (v->dtype != LAC_NONE && v->dtype != LAC_F32)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "weight '%s' is read as %s, want float32",
                        v->name, lac_dtype_name(v->dtype));
    lac_parameter *grown =
        lac_grow(s->found, (size_t)s->n, (size_t)s->n + 1, sizeof *s->found, err);
    if (!grown)
        return LAC_ERROR_MEMORY;
    s->found = grown;
    lac_parameter *p = &s->found[s->n++];
    p->value = value;
    p->tensor = *tensor;
    memset(tensor, 0, sizeof *tensor);
    return constrain(p, s->graph, err);
}

/* A weight made from integers, or from packed elements by more than Unpack: there is no way back
 * from its values to its storage. */
static lac_status refuse_storage(const lac_graph *graph, int value, const char *name, int depth,
                                 lac_error *err)
{
    const lac_node *node = producer_of(graph, value);
    if (!node || depth == DEPTH)
        return LAC_OK;
    if (depth > 0 && is_unpack(node))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "weight of node '%s' is packed in another element type", name);
    if (strcmp(node->op, "DequantizeLinear") == 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "weight of node '%s' is stored as integers with a scale: retrain before "
                        "quantising",
                        name);
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0)
            LAC_TRY(refuse_storage(graph, node->in[i], name, depth + 1, err));
    return LAC_OK;
}

static lac_status add_weights(search *s, lac_error *err)
{
    lac_compression weights = {0};
    lac_status status = lac_weights_find(&weights, s->graph, err);
    for (int i = 0; status == LAC_OK && i < weights.n_weights; i++) {
        lac_weight *w = &weights.weights[i];
        if (!s->needed[w->value])
            continue;
        status = refuse_storage(s->graph, w->value, w->name, 0, err);
        if (status == LAC_OK)
            status = add(s, w->value, &w->tensor, err);
    }
    lac_compression_release(&weights);
    return status;
}

static lac_status add_biases(search *s, lac_error *err)
{
    for (int n = 0; n < s->graph->n_nodes; n++) {
        const lac_node *node = &s->graph->nodes[n];
        bool gemm = strcmp(node->op, "Gemm") == 0, sum = strcmp(node->op, "Add") == 0;
        for (int i = gemm ? 2 : 0; (gemm || sum) && !node->domain[0] && i < node->n_in; i++) {
            const lac_value *v = node->in[i] >= 0 ? &s->graph->values[node->in[i]] : NULL;
            if (!v || !v->constant.data || v->dtype != LAC_F32 || v->rank != 1 ||
                !s->needed[node->in[i]])
                continue;
            bool known = false;
            for (int k = 0; k < s->n; k++)
                known |= s->found[k].value == node->in[i];
            lac_tensor copy;
            if (known)
                continue;
            LAC_TRY(lac_tensor_copy(&copy, &v->constant, err));
            lac_status status = add(s, node->in[i], &copy, err);
            lac_tensor_release(&copy);
            LAC_TRY(status);
            lac_parameter *bias = &s->found[s->n - 1];
            bias->constraint = LAC_TRAIN_FREE; /* a bias that is 0 may move */
            lac_free(bias->code);
            bias->code = NULL;
        }
    }
    return LAC_OK;
}

lac_status lac_parameters_find(lac_parameter **parameters, int *n, const lac_graph *graph,
                               int logits, lac_error *err)
{
    search s = {.graph = graph};
    *parameters = NULL;
    *n = 0;
    s.needed = lac_alloc((size_t)graph->n_values, 1, err);
    if (!s.needed)
        return LAC_ERROR_MEMORY;
    mark_needed(&s, logits);
    lac_status status = add_weights(&s, err);
    if (status == LAC_OK)
        status = add_biases(&s, err);
    lac_free(s.needed);
    *parameters = s.found;
    *n = s.n;
    if (status == LAC_OK && s.n == 0)
        status =
            lac_fail(err, LAC_ERROR_UNSUPPORTED, "'%s' depends on no weight of a MatMul or Gemm",
                     graph->values[logits].name);
    return status;
}

void lac_parameters_release(lac_parameter *parameters, int n)
{
    for (int i = 0; i < n; i++) {
        lac_tensor_release(&parameters[i].tensor);
        lac_free(parameters[i].code);
        lac_free(parameters[i].velocity);
    }
    lac_free(parameters);
}

/* ---- moving ---------------------------------------------------------------------------------- */

void lac_parameter_move(lac_parameter *p, const float *gradient, double rate, double momentum)
{
    int64_t count = lac_tensor_count(&p->tensor);
    float *w = p->tensor.data;
    if (p->constraint != LAC_TRAIN_SHARED) {
        for (int64_t i = 0; i < count; i++) {
            if (p->code && !p->code[i])
                continue;
            p->velocity[i] = momentum * p->velocity[i] + (double)gradient[i];
            w[i] -= (float)(rate * p->velocity[i]);
        }
        return;
    }
    double sum[LAC_MOST_CENTROIDS] = {0};
    for (int64_t i = 0; i < count; i++)
        sum[p->code[i]] += (double)gradient[i];
    for (int k = 0; k < p->centroids; k++) {
        if (p->held[k])
            continue;
        p->velocity[k] = momentum * p->velocity[k] + sum[k];
        p->centroid[k] -= rate * p->velocity[k];
    }
    for (int64_t i = 0; i < count; i++)
        w[i] = (float)p->centroid[p->code[i]];
}

/* ---- writing back ---------------------------------------------------------------------------- */

static lac_status replace(lac_graph *graph, int value, const lac_tensor *tensor, lac_error *err)
{
    lac_value *v = &graph->values[value];
    lac_tensor copy;
    LAC_TRY(lac_tensor_copy(&copy, tensor, err));
    lac_tensor_release(&v->constant);
    v->constant = copy;
    v->dtype = copy.dtype;
    v->rank = copy.rank;
    for (int d = 0; d < copy.rank; d++)
        v->dims[d] = (lac_dim){.size = copy.dims[d]};
    return LAC_OK;
}

static lac_status write_packed(const lac_parameter *p, lac_graph *graph, const lac_node *node,
                               lac_error *err)
{
    lac_packed packed, fresh;
    LAC_TRY(read_packed(graph, node, &packed, err));
    int book = book_of(packed.format);
    lac_status status = LAC_OK;
    if (book >= 0) {
        lac_tensor values = {0};
        status = lac_tensor_copy(&values, &packed.field[book], err);
        for (int k = 0; status == LAC_OK && k < p->centroids; k++)
            lac_tensor_set(&values, k, p->centroid[k]);
        if (status == LAC_OK)
            status = replace(graph, node->in[book], &values, err);
        lac_tensor_release(&values);
    } else {
        lac_tensor values = {0};
        status = lac_tensor_convert(&values, packed.dtype, &p->tensor, err);
        if (status == LAC_OK)
            status = lac_pack(&fresh, packed.format, &packed.params, packed.view, &values, err);
        if (status == LAC_OK) {
            for (int i = 0; status == LAC_OK && i < node->n_in; i++)
                status = replace(graph, node->in[i], &fresh.field[i], err);
            lac_packed_release(&fresh);
        }
        lac_tensor_release(&values);
    }
    lac_packed_release(&packed);
    return status;
}

/* The value becomes a constant; what computed it makes a value nobody reads. */
static lac_status write_computed(const lac_parameter *p, lac_graph *graph, lac_error *err)
{
    lac_node *node = &graph->nodes[graph->values[p->value].producer];
    for (int i = 0; i < node->n_out; i++)
        if (node->out[i] == p->value)
            LAC_TRY(lac_graph_value(graph, NULL, &node->out[i], err));
    graph->values[p->value].producer = -1;
    return replace(graph, p->value, &p->tensor, err);
}

lac_status lac_parameter_write(const lac_parameter *p, lac_graph *graph, lac_error *err)
{
    const lac_node *node = producer_of(graph, p->value);
    int reader;
    if (!node)
        return replace(graph, p->value, &p->tensor, err);
    if (is_unpack(node))
        return write_packed(p, graph, node, err);
    const lac_tensor *stored = &graph->values[node->in[0]].constant;
    if (strcmp(node->op, "Cast") != 0 || !stored->data || !lac_dtype_is_float(stored->dtype) ||
        lac_graph_readers(graph, node->in[0], &reader) != 1)
        return write_computed(p, graph, err);
    lac_tensor narrow;
    LAC_TRY(lac_tensor_convert(&narrow, stored->dtype, &p->tensor, err));
    lac_status status = replace(graph, node->in[0], &narrow, err);
    lac_tensor_release(&narrow);
    return status;
}
