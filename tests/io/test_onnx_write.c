/* Writing ONNX files: what is written reads back as the same graph, real models from the shared
 * folder and packed weights of every format among them; a write that fails leaves nothing behind.
 */
#include "core/memory.h"
#include "core/text.h"
#include "format/packed.h"
#include "helpers/golden.h"

#include <dirent.h>
#include <lacuna/lacuna.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/temporary.h"

#include "io/onnx_same.h"
#include "io/onnx_small.h"

static void real_models(void **state)
{
    (void)state;
    char models[512], path[1024];
    struct dirent *each, *file;
    int count = 0;
    if (!golden_shared(models, sizeof models, "data/models")) {
        print_message("SKIP: no shared models (LACUNA_SHARED)\n");
        skip();
    }
    DIR *dir = opendir(models);
    while ((each = readdir(dir))) {
        snprintf(path, sizeof path, "%s/%s", models, each->d_name);
        DIR *inner = each->d_name[0] == '.' ? NULL : opendir(path);
        while (inner && (file = readdir(inner))) {
            size_t length = strlen(file->d_name);
            lac_error err = {0};
            lac_graph *graph;
            if (length < 5 || strcmp(file->d_name + length - 5, ".onnx") != 0)
                continue;
            snprintf(path, sizeof path, "%s/%s/%s", models, each->d_name, file->d_name);
            ok(lac_onnx_load(&graph, path, &err), &err);
            round_trip(graph, in_folder("inside.onnx"), 0);
            round_trip(graph, in_folder("outside.onnx"), 4096);
            lac_graph_free(graph);
            count++;
        }
        if (inner)
            closedir(inner);
    }
    closedir(dir);
    print_message("%d models\n", count);
    assert_true(count >= 20);
}

/* ---- packed weights ----------------------------------------------------------------------------
 */

/* Fits every format: 2:4, few distinct values, 127 in each row but for formats of few bits. */
static void fill(lac_tensor *w, const lac_format *format, lac_view view, int rank,
                 const int64_t *dims, lac_dtype dtype)
{
    bool few = strcmp(format->row.name, "intq") == 0 || strcmp(format->row.name, "bcq") == 0;
    lac_error err;
    lac_tensor matrix;
    int64_t rows, cols;
    ok(lac_view_size(view, rank, dims, &rows, &cols, &err), &err);
    ok(lac_tensor_make(&matrix, dtype, 2, (int64_t[]){rows, cols}, &err), &err);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < cols; k++)
            lac_tensor_set(&matrix, r * cols + k,
                           k == 0       ? (few ? 3 : 127)
                           : k % 4 >= 2 ? 0
                                        : (double)((r + 2 * k) % 4));
    ok(lac_view_tensor(view, &matrix, rank, dims, w, &err), &err);
    lac_tensor_release(&matrix);
}

static const struct {
    lac_view view;
    int rank;
    int64_t dims[4];
} shapes[] = {
    {LAC_VIEW_ROWS, 2, {5, 9}}, {LAC_VIEW_COLUMNS, 2, {12, 8}}, {LAC_VIEW_CONV, 4, {4, 8, 3, 3}}};

/* Packs a weight into the graph as an output called `name`; its elements go to FOLDER/name.npy for
 * the test that runs the file elsewhere. */
static void add_packed(lac_graph *graph, const lac_format *format, size_t shape, lac_dtype dtype,
                       const char *name, const char *keep)
{
    lac_error err = {0};
    lac_tensor w;
    lac_packed packed;
    lac_params params;
    char path[512];
    int value;
    lac_params_init(&params, format->params);
    fill(&w, format, shapes[shape].view, shapes[shape].rank, shapes[shape].dims, dtype);
    lac_status status = lac_pack(&packed, format, &params, shapes[shape].view, &w, &err);
    snprintf(path, sizeof path, "%s/%s.npy", keep ? keep : "", name);
    if (keep && dtype != LAC_BF16)
        ok(lac_npy_save(&w, path, &err), &err);
    lac_tensor_release(&w);
    ok(status, &err);
    ok(lac_packed_to_graph(&packed, graph, name, &value, &err), &err);
    ok(lac_graph_output(graph, value, &err), &err);
    lac_packed_release(&packed);
}

/* Every format, view and element type in one file, for every kind of opset. test_onnx_runtime.py
 * asks for the files by LACUNA_KEEP. */
static void packed_everything(void **state)
{
    (void)state;
    static const int opsets[] = {11, 13, 17};
    const char *keep = getenv("LACUNA_KEEP");
    for (size_t o = 0; o < sizeof opsets / sizeof *opsets; o++) {
        lac_graph *graph;
        lac_error err = {0};
        char name[128], path[512];
        ok(lac_graph_make(&graph, "packed", opsets[o], &err), &err);
        for (int f = 0; f < lac_table_count(&lac_formats); f++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
                for (int dtype = 0; dtype < LAC_DTYPE_LIMIT; dtype++) {
                    const lac_format *format = (const lac_format *)lac_table_at(&lac_formats, f);
                    if (!(format->dtypes & LAC_BIT(dtype)) || (keep && dtype == LAC_BF16))
                        continue;
                    snprintf(name, sizeof name, "%s_%d_%d", format->row.name, (int)s, dtype);
                    add_packed(graph, format, s, (lac_dtype)dtype, name, keep);
                }
        ok(lac_graph_settle(graph, &err), &err);
        assert_true(graph->n_nodes >= 3 * lac_table_count(&lac_formats));
        snprintf(path, sizeof path, "%s/packed_%d.onnx", keep ? keep : folder, opsets[o]);
        round_trip(graph, path, 64);
        lac_graph_free(graph);
    }
    lac_graph *graph;
    lac_error err = {0};
    ok(lac_graph_make(&graph, "old", 10, &err), &err);
    add_packed(graph, (const lac_format *)lac_table_find(&lac_formats, "nm"), 0, LAC_F32, "w",
               NULL);
    assert_int_equal(lac_onnx_save(graph, in_folder("old.onnx"), 0, &err), LAC_ERROR_UNSUPPORTED);
    says(&err, "packed weights need opset 11 or later, the model has 10");
    assert_int_not_equal(access(in_folder("old.onnx"), F_OK), 0);
    lac_graph_free(graph);
}

/* Two weights that differ only in their elements share one function. */
static void packed_weights(void **state)
{
    (void)state;
    lac_graph *graph;
    lac_error err = {0};
    int formats = lac_table_count(&lac_formats);
    ok(lac_graph_make(&graph, "packed", 13, &err), &err);
    for (int f = 0; f < formats; f++) {
        const lac_format *format = (const lac_format *)lac_table_at(&lac_formats, f);
        for (int twin = 0; twin < 2; twin++) {
            char name[64];
            snprintf(name, sizeof name, "%s_%d", format->row.name, twin);
            add_packed(graph, format, 1, format->dtypes & LAC_BIT(LAC_F32) ? LAC_F32 : LAC_I8, name,
                       NULL);
        }
    }
    ok(lac_graph_settle(graph, &err), &err);
    assert_int_equal(graph->n_nodes, 2 * formats);
    round_trip(graph, in_folder("packed.onnx"), 64);

    char *data;
    size_t bytes;
    ok(lac_read_file(&data, &bytes, in_folder("packed.onnx"), 1 << 24, &err), &err);
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, bytes, (uint8_t *)data);
    assert_non_null(model);
    assert_int_equal(model->n_functions, formats); /* twins share a body */
    for (size_t i = 0; i < model->graph->n_node; i++) {
        const Onnx__NodeProto *node = model->graph->node[i];
        bool found = false;
        for (size_t f = 0; f < model->n_functions; f++)
            if (strcmp(model->functions[f]->name, node->op_type) == 0) {
                found = true;
                assert_int_equal(model->functions[f]->n_input, node->n_input);
                assert_int_equal(model->functions[f]->n_attribute, node->n_attribute);
            }
        assert_true(found);
    }
    onnx__model_proto__free_unpacked(model, NULL);
    lac_free(data);
    lac_graph_free(graph);
}

/* ---- failing writes */

static int count_files(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* No partial file stays behind, whichever allocation fails and wherever the path leads. */
static void failing_writes(void **state)
{
    (void)state;
    small s;
    lac_graph *graph;
    lac_error err = {0};
    int64_t linear[2] = {2, 4};
    sparse_model(&s, linear, 1);
    ok(small_parse(&s, &graph, &err), &err);
    assert_int_equal(lac_onnx_save(graph, in_folder("no/such.onnx"), 0, &err), LAC_ERROR_IO);
    says(&err, "no/such.onnx");
    assert_int_equal(lac_onnx_save(graph, in_folder("no/such.onnx"), 8, &err), LAC_ERROR_IO);
    mkdir(in_folder("full.onnx"), 0777);
    ok(lac_write_file(in_folder("full.onnx/x"), "", 0, &err), &err);
    int before = count_files();
    assert_int_equal(lac_onnx_save(graph, in_folder("full.onnx.data/../full.onnx"), 8, &err),
                     LAC_ERROR_IO);
    bool done = false;
    for (int64_t n = 0; n < 2000 && !done; n++) {
        lac_alloc_fail_after(n);
        lac_status status = lac_onnx_save(graph, in_folder("failing.onnx"), 8, &err);
        lac_alloc_fail_after(-1);
        done = status == LAC_OK;
        if (!done) {
            assert_int_equal(status, LAC_ERROR_MEMORY);
            assert_int_equal(count_files(), before);
        }
    }
    assert_true(done);
    lac_graph_free(graph);
    graph = NULL;
    for (int64_t n = 0, end = 0; !end; n++) {
        lac_alloc_fail_after(n);
        lac_status status = lac_onnx_load(&graph, in_folder("failing.onnx"), &err);
        lac_alloc_fail_after(-1);
        assert_true(status == LAC_OK || status == LAC_ERROR_MEMORY);
        end = status == LAC_OK;
    }
    lac_graph_free(graph);
}

/* Two values of one name, as passes make them, get two names in the file. */
static void doubled_names(void **state)
{
    (void)state;
    lac_graph *graph, *again;
    lac_error err = {0};
    int x, a, b, y;
    ok(lac_graph_make(&graph, "", 13, &err), &err);
    ok(lac_graph_value(graph, "x", &x, &err), &err);
    ok(lac_graph_value(graph, "t", &a, &err), &err);
    ok(lac_graph_value(graph, "t", &b, &err), &err);
    ok(lac_graph_value(graph, "y", &y, &err), &err);
    graph->values[x].dtype = graph->values[y].dtype = LAC_F32;
    ok(lac_graph_input(graph, x, &err), &err);
    ok(lac_graph_output(graph, y, &err), &err);
    ok(lac_graph_node(graph, "", "Relu", "n", 1, &x, 1, &a, NULL, &err), &err);
    ok(lac_graph_node(graph, "", "Neg", "n", 1, &a, 1, &b, NULL, &err), &err);
    ok(lac_graph_node(graph, "", "Abs", "n", 1, &b, 1, &y, NULL, &err), &err);
    ok(lac_onnx_save(graph, in_folder("doubled.onnx"), 0, &err), &err);
    ok(lac_onnx_load(&again, in_folder("doubled.onnx"), &err), &err);
    assert_int_equal(again->n_nodes, 3);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(again->nodes[i].in[0], again->nodes[i - 1].out[0]);
        assert_string_not_equal(again->nodes[i].name, again->nodes[i - 1].name);
    }
    lac_graph_free(graph);
    lac_graph_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_models),       cmocka_unit_test(packed_weights),
        cmocka_unit_test(packed_everything), cmocka_unit_test(failing_writes),
        cmocka_unit_test(doubled_names),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
