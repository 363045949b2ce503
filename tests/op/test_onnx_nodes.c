/* The standard's own node tests (Debian's libonnx-testdata): every case whose operators and element
 * types lacuna claims must pass, by the reference semantics and by the fast plan. Cases left out
 * are listed in onnx_nodes_excluded.txt, each with the kind of its failure, which this test checks:
 * an entry that has become needless is a failure too. */
#include "helpers/golden.h"
#include "io/onnx.h"

#include <dirent.h>
#include <lacuna/lacuna.h>
#include <lacuna/op.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 32, WANT_PASSED = 300 };

typedef enum verdict {
    PASSED,
    UNCLAIMED,   /* an operator, opset or element type that the tables do not claim */
    UNSUPPORTED, /* claimed, but refused with a reason */
    DIFFERS,     /* other numbers */
    BROKEN       /* an error of another kind */
} verdict;

static const char *const verdict_names[] = {"passed", "unclaimed", "unsupported", "differs",
                                            "broken"};

typedef struct excluded {
    char name[96], kind[16];
    bool seen;
} excluded;

static excluded list[128];
static int n_list;

static void read_list(void)
{
    char line[512];
    FILE *file = fopen(LACUNA_SOURCE_DIR "/tests/op/onnx_nodes_excluded.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char reason[256];
        if (line[0] == '#' || line[0] == '\n')
            continue;
        assert_true(n_list < (int)(sizeof list / sizeof *list));
        if (sscanf(line, "%95s %15s %255[^\n]", list[n_list].name, list[n_list].kind, reason) != 3)
            fail_msg("onnx_nodes_excluded.txt: want 'case kind reason', not: %s", line);
        n_list++;
    }
    fclose(file);
}

static excluded *find_excluded(const char *name)
{
    for (int i = 0; i < n_list; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* ---- comparing as the standard's runner does ------------------------------------------------- */

static bool close_enough(double got, double want, lac_dtype dtype)
{
    double relative = 1e-3, absolute = 1e-5;
    if (dtype == LAC_F16)
        absolute = 1e-3;
    if (dtype == LAC_BF16)
        relative = absolute = 1e-2;
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    return got == want || fabs(got - want) <= absolute + relative * fabs(want);
}

static bool same(const lac_tensor *got, const lac_tensor *want, char *why, size_t size)
{
    char a[96], b[96];
    if (got->dtype != want->dtype || got->rank != want->rank ||
        (got->rank && memcmp(got->dims, want->dims, (size_t)got->rank * sizeof *got->dims) != 0)) {
        snprintf(why, size, "%s, want %s", lac_tensor_text(got, a, sizeof a),
                 lac_tensor_text(want, b, sizeof b));
        return false;
    }
    if (!lac_dtype_is_float(want->dtype)) {
        size_t bytes = lac_tensor_bytes(want);
        if (bytes == 0 || memcmp(got->data, want->data, bytes) == 0)
            return true;
    }
    for (int64_t i = 0; i < lac_tensor_count(want); i++) {
        double x = lac_tensor_get(got, i), y = lac_tensor_get(want, i);
        if (lac_dtype_is_float(want->dtype) ? !close_enough(x, y, want->dtype) : x != y) {
            snprintf(why, size, "element %lld is %.9g, want %.9g", (long long)i, x, y);
            return false;
        }
    }
    return true;
}

/* ---- one case ---------------------------------------------------------------------------------
 */

typedef struct data_set {
    lac_tensor in[MOST], want[MOST];
    int value[MOST]; /* the graph's input that in[i] is */
    int n_in, n_want;
} data_set;

static void release(lac_tensor *tensors, int n)
{
    for (int i = 0; i < n; i++)
        lac_tensor_release(&tensors[i]);
}

/* input_0.pb, input_1.pb, ... of a folder; false when one is not a tensor of numbers. */
static bool load_all(const char *folder, const char *what, lac_tensor *tensors, int *n)
{
    char path[1024];
    for (*n = 0; *n < MOST; (*n)++) {
        lac_error err;
        snprintf(path, sizeof path, "%s/%s_%d.pb", folder, what, *n);
        if (access(path, R_OK) != 0)
            return true;
        if (lac_onnx_tensor_load(&tensors[*n], path, &err) != LAC_OK)
            return false;
    }
    return false;
}

/* Whether the tables claim every node: its operator, its opset, the element type of its input 0. */
static bool claimed(const lac_graph *graph, const data_set *data)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        const lac_node *node = &graph->nodes[n];
        const lac_op *op = lac_op_find(node->domain, node->op);
        if (!op || (node->domain[0] == 0 && graph->opset < op->since))
            return false;
        if (node->n_in == 0 || node->in[0] < 0)
            continue;
        lac_dtype dtype = graph->values[node->in[0]].dtype;
        for (int i = 0; i < graph->n_inputs && i < data->n_in; i++)
            if (graph->inputs[i] == node->in[0])
                dtype = data->in[i].dtype;
        if (dtype != LAC_NONE && !(op->dtypes & LAC_BIT(dtype)))
            return false;
    }
    return true;
}

static verdict of_status(lac_status status)
{
    return status == LAC_ERROR_UNSUPPORTED ? UNSUPPORTED : BROKEN;
}

static verdict compare(const lac_tensor *out, const data_set *data, const char *how, char *why,
                       size_t size)
{
    for (int i = 0; i < data->n_want; i++) {
        char text[200];
        if (!same(&out[i], &data->want[i], text, sizeof text)) {
            snprintf(why, size, "output %d (%s): %s", i, how, text);
            return DIFFERS;
        }
    }
    return PASSED;
}

/* One node: infer, then run, all inputs known. */
static lac_status run_node(const lac_graph *graph, const lac_node *node, lac_tensor *value,
                           lac_error *err)
{
    const lac_op *op = lac_op_find(node->domain, node->op);
    const lac_tensor *in[MOST];
    lac_tensor out[MOST] = {0};
    assert_true(node->n_in <= MOST && node->n_out <= MOST);
    for (int i = 0; i < node->n_in; i++)
        in[i] = node->in[i] < 0 ? NULL : &value[node->in[i]];
    for (int i = 0; i < node->n_out; i++)
        out[i].dtype = node->out[i] < 0 ? LAC_NONE : LAC_F32;
    lac_call call = {node, graph->opset, node->n_in, node->n_out, in, out};
    lac_status status = op->infer(&call, err);
    for (int i = 0; i < node->n_out && status == LAC_OK; i++) {
        lac_tensor shape = out[i];
        out[i].dtype = LAC_NONE;
        if (node->out[i] >= 0)
            status = lac_tensor_make(&out[i], shape.dtype, shape.rank, shape.dims, err);
    }
    if (status == LAC_OK)
        status = op->run(&call, err);
    for (int i = 0; i < node->n_out; i++)
        if (status == LAC_OK && node->out[i] >= 0)
            value[node->out[i]] = out[i];
        else
            lac_tensor_release(&out[i]);
    return status;
}

static verdict run_operators(const lac_graph *graph, const data_set *data, char *why, size_t size)
{
    lac_error err = {0};
    lac_tensor *value = calloc((size_t)graph->n_values + 1, sizeof *value), out[MOST] = {0};
    lac_status status = LAC_OK;
    for (int v = 0; v < graph->n_values; v++)
        lac_tensor_share(&value[v], &graph->values[v].constant);
    for (int i = 0; i < graph->n_inputs; i++)
        lac_tensor_share(&value[graph->inputs[i]], &data->in[i]);
    for (int n = 0; n < graph->n_nodes && status == LAC_OK; n++)
        status = run_node(graph, &graph->nodes[n], value, &err);
    for (int i = 0; i < graph->n_outputs; i++)
        out[i] = value[graph->outputs[i]];
    verdict result =
        status == LAC_OK ? compare(out, data, "operators", why, size) : of_status(status);
    if (status != LAC_OK)
        snprintf(why, size, "operators: %s", err.message);
    release(value, graph->n_values);
    free(value);
    return result;
}

static verdict run_session(const lac_graph *graph, const data_set *data, bool fast, char *why,
                           size_t size)
{
    lac_error err = {0};
    lac_session *session;
    lac_session_options options = {.no_fusion = !fast};
    lac_tensor out[MOST] = {0}, in[MOST];
    int n = 0;
    for (int i = 0; i < data->n_in; i++) /* some have become constants */
        for (int k = 0; k < graph->n_inputs; k++)
            if (graph->inputs[k] == data->value[i])
                in[n++] = data->in[i];
    lac_status status = lac_session_make(&session, graph, &options, &err);
    if (status == LAC_OK) {
        status = lac_session_run(session, in, out, &err);
        lac_session_free(session);
    }
    verdict result = status == LAC_OK
                         ? compare(out, data, fast ? "fast session" : "session", why, size)
                         : of_status(status);
    if (status != LAC_OK)
        snprintf(why, size, "%s: %s", fast ? "fast session" : "session", err.message);
    release(out, graph->n_outputs);
    return result;
}

/* Sessions plan from the shapes of inputs, so an input whose data decide a shape must be a constant
 * (it nearly always is one in networks). This makes all inputs behind `keep` constants. */
static void make_constants(lac_graph *graph, const data_set *data, int keep)
{
    for (int i = keep; i < data->n_in; i++) {
        lac_value *value = &graph->values[data->value[i]];
        value->dtype = data->in[i].dtype;
        value->rank = data->in[i].rank;
        for (int d = 0; d < value->rank; d++)
            value->dims[d] = (lac_dim){data->in[i].dims[d], NULL};
        lac_tensor_share(&value->constant, &data->in[i]);
    }
    graph->n_inputs = keep < graph->n_inputs ? keep : graph->n_inputs;
}

static verdict run_sessions(const lac_graph *graph, const data_set *data, char *why, size_t size)
{
    verdict result = PASSED;
    for (int fast = 0; fast < 2 && result == PASSED; fast++) {
        result = run_session(graph, data, fast, why, size);
        for (int keep = 1; keep >= 0 && result == UNSUPPORTED; keep--) {
            lac_error err;
            lac_graph *copy;
            assert_int_equal(lac_graph_copy(&copy, graph, &err), LAC_OK);
            make_constants(copy, data, keep);
            result = run_session(copy, data, fast, why, size);
            lac_graph_free(copy);
        }
    }
    return result;
}

/* The data were written when bfloat16 went as uint16. */
static void mend(lac_tensor *tensor, lac_dtype declared)
{
    if (declared == LAC_BF16 && tensor->dtype == LAC_U16)
        tensor->dtype = LAC_BF16;
}

static verdict run_set(const lac_graph *graph, const char *folder, char *why, size_t size)
{
    data_set data = {0};
    verdict result = UNCLAIMED;
    if (load_all(folder, "input", data.in, &data.n_in) &&
        load_all(folder, "output", data.want, &data.n_want)) {
        assert_int_equal(graph->n_inputs, data.n_in);
        assert_int_equal(graph->n_outputs, data.n_want);
        for (int i = 0; i < data.n_in; i++) {
            data.value[i] = graph->inputs[i];
            mend(&data.in[i], graph->values[graph->inputs[i]].dtype);
        }
        for (int i = 0; i < data.n_want; i++)
            mend(&data.want[i], graph->values[graph->outputs[i]].dtype);
        if (claimed(graph, &data)) {
            result = run_operators(graph, &data, why, size);
            if (result == PASSED)
                result = run_sessions(graph, &data, why, size);
        }
    }
    release(data.in, MOST);
    release(data.want, MOST);
    return result;
}

static verdict run_case(const char *folder, char *why, size_t size)
{
    char path[1024];
    lac_error err = {0};
    lac_graph *graph;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (lac_onnx_load(&graph, path, &err) != LAC_OK)
        return UNCLAIMED; /* an opset, a type or a graph attribute that is not read */
    verdict result = PASSED;
    for (int set = 0; result == PASSED; set++) {
        snprintf(path, sizeof path, "%s/test_data_set_%d", folder, set);
        if (access(path, R_OK) != 0) {
            assert_true(set > 0);
            break;
        }
        result = run_set(graph, path, why, size);
    }
    lac_graph_free(graph);
    return result;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void node_tests(void **state)
{
    (void)state;
    const char *root = getenv("LACUNA_ONNX_TESTDATA");
    const char *only = getenv("LACUNA_ONNX_CASE");
    char folder[512], path[1024], *names[4096];
    int n = 0, count[5] = {0}, failures = 0, left_out = 0;
    snprintf(folder, sizeof folder, "%s/node", root ? root : LACUNA_ONNX_TESTDATA);
    DIR *dir = opendir(folder);
    if (!dir) {
        print_message("SKIP: no %s (Debian package libonnx-testdata)\n", folder);
        skip();
    }
    read_list();
    for (struct dirent *each; (each = readdir(dir)) && n < 4096;)
        if (each->d_name[0] != '.' && (!only || strcmp(only, each->d_name) == 0))
            names[n++] = strdup(each->d_name);
    closedir(dir);
    qsort(names, (size_t)n, sizeof *names, by_text);
    for (int i = 0; i < n; i++) {
        char why[600] = "";
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        verdict result = run_case(path, why, sizeof why);
        excluded *entry = find_excluded(names[i]);
        if (entry) {
            entry->seen = true;
            left_out++;
            if (strcmp(entry->kind, verdict_names[result]) != 0) {
                print_message("%s: listed as %s, but %s\n", names[i], entry->kind,
                              verdict_names[result]);
                failures++;
            }
        } else {
            count[result]++;
            if (result >= UNSUPPORTED) {
                print_message("%s: %s: %s\n", names[i], verdict_names[result], why);
                failures++;
            }
        }
        free(names[i]);
    }
    print_message("%d cases: %d passed, %d not claimed, %d excluded, %d failed\n", n, count[PASSED],
                  count[UNCLAIMED], left_out, failures);
    if (only)
        return;
    for (int i = 0; i < n_list; i++)
        if (!list[i].seen)
            fail_msg("onnx_nodes_excluded.txt: there is no case %s", list[i].name);
    assert_int_equal(failures, 0);
    assert_true(count[PASSED] >= WANT_PASSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(node_tests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
