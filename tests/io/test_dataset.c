/* Data sets: every kind of task from files written here, with and without a training part; the
 * tasks of the shared models' meta.json; what is refused. */
#include "core/memory.h"
#include "core/text.h"
#include "helpers/golden.h"
#include "io/dataset.h"
#include "io/glyphs.h"

#include <lacuna/lacuna.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "io/temporary.h"

/* ---- making things -----------------------------------------------------------------------------
 */

/* A graph with these inputs (rank of the first) and outputs; nodes are not needed here. */
static lac_graph *make_graph(int rank, int n_in, const char *const *in, int n_out,
                             const char *const *out)
{
    lac_error err = {0};
    lac_graph *graph;
    int value;
    ok(lac_graph_make(&graph, "test", 17, &err), &err);
    for (int i = 0; i < n_in; i++) {
        ok(lac_graph_value(graph, in[i], &value, &err), &err);
        graph->values[value].rank = rank;
        ok(lac_graph_input(graph, value, &err), &err);
    }
    for (int i = 0; i < n_out; i++) {
        ok(lac_graph_value(graph, out[i], &value, &err), &err);
        ok(lac_graph_output(graph, value, &err), &err);
    }
    return graph;
}

/* The array 0, 1, 2, ... modulo `wrap`. */
static void write_npy(const char *name, lac_dtype dtype, int rank, const int64_t *dims, int wrap)
{
    lac_error err = {0};
    lac_tensor tensor;
    ok(lac_tensor_make(&tensor, dtype, rank, dims, &err), &err);
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
        lac_tensor_set(&tensor, i, (double)(i % wrap));
    ok(lac_npy_save(&tensor, in_folder(name), &err), &err);
    lac_tensor_release(&tensor);
}

/* u8 [n][h][w] as plain IDX. */
static void write_idx(const char *name, uint8_t n, uint8_t h, uint8_t w)
{
    lac_error err = {0};
    lac_text text = {0};
    const uint8_t images[16] = {0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, h, 0, 0, 0, w};
    const uint8_t labels[8] = {0, 0, 8, 1, 0, 0, 0, n};
    lac_text_bytes(&text, h ? images : labels, h ? sizeof images : sizeof labels);
    for (int i = 0; i < n * (h ? h * w : 1); i++)
        lac_text_bytes(&text, &(uint8_t){(uint8_t)(h ? i / (h * w) : i % 10)}, 1);
    ok(lac_write_file(in_folder(name), text.data, text.length, &err), &err);
    lac_text_release(&text);
}

static void copy_file(const char *from, const char *to)
{
    lac_error err = {0};
    char *data;
    size_t bytes;
    ok(lac_read_file(&data, &bytes, from, 1 << 20, &err), &err);
    ok(lac_write_file(in_folder(to), data, bytes, &err), &err);
    lac_free(data);
}

static lac_status try_open(lac_dataset **set, const char *text, const lac_graph *graph,
                           lac_error *err)
{
    json_t *task = json_loads(text, 0, NULL);
    assert_non_null(task);
    json_object_set_new(task, "base", json_string(folder));
    memset(err, 0, sizeof *err);
    lac_status status = lac_dataset_open(set, task, graph, err);
    json_decref(task);
    return status;
}

static lac_dataset *open_set(const char *text, const lac_graph *graph)
{
    lac_error err;
    lac_dataset *set;
    ok(try_open(&set, text, graph, &err), &err);
    return set;
}

static void refused(const char *text, const lac_graph *graph, const char *part)
{
    lac_error err;
    lac_dataset *set;
    if (try_open(&set, text, graph, &err) == LAC_OK) {
        lac_dataset_close(set);
        fail_msg("opened, want: %s", part);
    }
    says(&err, part);
}

static const char *const x_name[] = {"x"}, *const y_name[] = {"y"};

/* ---- kinds -------------------------------------------------------------------------------------
 */

static void arrays(void **state)
{
    (void)state;
    lac_error err = {0};
    lac_tensor in[2];
    int64_t left_out;
    lac_graph *graph = make_graph(4, 1, x_name, 1, y_name);
    write_npy("a_u8.npy", LAC_U8, 3, (int64_t[]){200, 2, 3}, 256);
    write_npy("a_labels.npy", LAC_U8, 1, (int64_t[]){200}, 10);
    lac_dataset *set = open_set("{\"task\":\"array_top1\",\"set\":\"a\",\"value\":0.5,"
                                "\"preprocess\":{\"kind\":\"scale\",\"scale\":0.5}}",
                                graph);
    assert_int_equal(lac_dataset_count(set), 200);
    assert_int_equal(lac_dataset_metric(set), LAC_METRIC_TOP1);
    assert_int_equal(lac_dataset_runs(set), 1);
    assert_true(lac_dataset_stated(set) == 0.5);
    assert_true(lac_dataset_label(set, 13) == 3);
    ok(lac_dataset_sample(set, 2, 0, in, &err), &err);
    assert_true(in[0].rank == 4 && in[0].dims[0] == 1 && in[0].dims[1] == 1 && in[0].dims[2] == 2 &&
                in[0].dims[3] == 3);
    assert_true(((const float *)in[0].data)[5] == 17 * 0.5f);
    lac_tensor_release(&in[0]);
    assert_int_equal(lac_dataset_sample(set, 200, 0, in, &err), LAC_ERROR_INPUT);
    says(&err, "item 200 of 200");
    assert_int_equal(lac_dataset_calibration_count(set, &left_out), 64);
    assert_int_equal(left_out, 64);
    ok(lac_dataset_calibration_sample(set, 1, in, &err), &err);
    assert_true(((const float *)in[0].data)[0] == 3);
    lac_tensor_release(&in[0]);
    lac_dataset_close(set);

    /* Rows are time steps: a network of rank 3 gets no channel. */
    lac_graph *rows = make_graph(3, 1, x_name, 1, y_name);
    set = open_set("{\"task\":\"array_top1\",\"set\":\"a\"}", rows);
    assert_true(isnan(lac_dataset_stated(set)));
    ok(lac_dataset_sample(set, 0, 0, in, &err), &err);
    assert_true(in[0].rank == 3 && in[0].dims[1] == 2 && in[0].dims[2] == 3);
    lac_tensor_release(&in[0]);
    lac_dataset_close(set);
    lac_graph_free(rows);

    refused("{\"task\":\"array_top1\",\"set\":\"nobody\"}", graph, "nobody-images-idx3-ubyte");
    refused("{\"task\":\"array_top1\",\"set\":\"a\",\"input\":\"z\"}", graph,
            "the model has no input 'z'");
    refused("{\"task\":\"array_top1\",\"set\":\"a\",\"output\":\"z\"}", graph, "\"output\"");
    refused("{\"task\":\"greedy\"}", graph, "task kind 'greedy' is not scored");
    refused("{\"task\":\"array_top1\",\"set\":\"a\",\"preprocess\":{\"kind\":\"?\"}}", graph,
            "preprocess.kind '?'");
    write_npy("a_labels.npy", LAC_U8, 1, (int64_t[]){199}, 10);
    refused("{\"task\":\"array_top1\",\"set\":\"a\"}", graph, "200 samples, 199 labels");
    lac_graph_free(graph);
}

/* IDX pairs; their training part serves calibration. */
static void idx_pairs(void **state)
{
    (void)state;
    lac_error err = {0};
    lac_tensor in[1];
    int64_t left_out;
    lac_graph *graph = make_graph(4, 1, x_name, 1, y_name);
    write_idx("t-images-idx3-ubyte", 20, 2, 2);
    write_idx("t-labels-idx1-ubyte", 20, 0, 0);
    lac_dataset *set = open_set("{\"task\":\"array_top1\",\"set\":\"t\"}", graph);
    assert_int_equal(lac_dataset_count(set), 20);
    assert_true(lac_dataset_label(set, 19) == 9);
    ok(lac_dataset_sample(set, 7, 0, in, &err), &err);
    assert_true(in[0].rank == 4 && ((const float *)in[0].data)[3] == 7);
    lac_tensor_release(&in[0]);
    assert_int_equal(lac_dataset_calibration_count(set, &left_out), 10); /* half of few */
    assert_string_equal(lac_dataset_calibration_name(set),
                        "first 10 of 20 items of t, left out of the score");
    assert_int_equal(left_out, 10);
    lac_dataset_close(set);
    write_idx("train-images-idx3-ubyte", 33, 2, 2);
    set = open_set("{\"task\":\"array_top1\",\"set\":\"t\"}", graph);
    assert_int_equal(lac_dataset_calibration_count(set, &left_out), 33);
    assert_int_equal(left_out, 0);
    assert_non_null(strstr(lac_dataset_calibration_name(set), "training part"));
    ok(lac_dataset_calibration_sample(set, 32, in, &err), &err);
    assert_true(((const float *)in[0].data)[0] == 32);
    lac_tensor_release(&in[0]);
    assert_int_equal(lac_dataset_calibration_sample(set, 33, in, &err), LAC_ERROR_INPUT);
    lac_dataset_close(set);
    unlink(in_folder("train-images-idx3-ubyte"));
    lac_graph_free(graph);
}

static void features(void **state)
{
    (void)state;
    lac_error err = {0};
    lac_tensor in[1];
    lac_graph *graph = make_graph(4, 1, x_name, 1, y_name);
    write_npy("q.npy", LAC_I8, 3, (int64_t[]){4, 2, 3}, 100);
    write_npy("y.npy", LAC_U8, 1, (int64_t[]){4}, 4);
    lac_dataset *set =
        open_set("{\"task\":\"features_top1\",\"x\":\"q.npy\",\"y\":\"y.npy\",\"input\":\"x\","
                 "\"preprocess\":{\"kind\":\"dequant\",\"scale\":2,\"zero_point\":1,"
                 "\"reshape\":[1,2,3]}}",
                 graph);
    assert_string_equal(lac_dataset_name(set), "q.npy");
    ok(lac_dataset_sample(set, 3, 0, in, &err), &err);
    assert_true(in[0].rank == 4 && in[0].dims[1] == 1);
    assert_true(((const float *)in[0].data)[0] == (18 - 1) * 2);
    lac_tensor_release(&in[0]);
    lac_dataset_close(set);

    write_npy("s.npy", LAC_F32, 3, (int64_t[]){4, 5, 2}, 100);
    write_npy("len.npy", LAC_I32, 1, (int64_t[]){4}, 4); /* 0, 1, 2, 3 */
    set = open_set("{\"task\":\"sequence_top1\",\"x\":\"s.npy\",\"y\":\"y.npy\","
                   "\"length\":\"len.npy\"}",
                   graph);
    ok(lac_dataset_sample(set, 3, 0, in, &err), &err);
    assert_true(in[0].rank == 3 && in[0].dims[0] == 3 && in[0].dims[1] == 1 && in[0].dims[2] == 2);
    assert_true(((const float *)in[0].data)[5] == 35);
    lac_tensor_release(&in[0]);
    assert_int_equal(lac_dataset_sample(set, 0, 0, in, &err), LAC_ERROR_INPUT);
    says(&err, "sequence 0: length 0 of 5");
    lac_dataset_close(set);
    lac_graph_free(graph);
}

/* Token ids without their padding, with the mask; pairs of sentences with a score. */
static void tokens(void **state)
{
    (void)state;
    lac_error err = {0};
    lac_tensor in[2], ids;
    static const char *const inputs[] = {"input_ids", "attention_mask"};
    static const char *const outputs[] = {"last_hidden_state", "sentence_embedding", "sst2_logits"};
    lac_graph *graph = make_graph(2, 2, inputs, 3, outputs);
    ok(lac_tensor_make(&ids, LAC_I16, 2, (int64_t[]){2, 5}, &err), &err);
    static const int16_t rows[2][5] = {{7, 8, 9, 0, 0}, {7, 0, 9, 6, 5}};
    memcpy(ids.data, rows, sizeof rows);
    ok(lac_npy_save(&ids, in_folder("w_ids_i16.npy"), &err), &err);
    ids.rank = 3;
    memcpy(ids.dims, (int64_t[]){1, 2, 5}, 3 * sizeof(int64_t));
    ok(lac_npy_save(&ids, in_folder("p_ids_i16.npy"), &err), &err);
    lac_tensor_release(&ids);
    write_npy("w_labels.npy", LAC_U8, 1, (int64_t[]){2}, 2);
    write_npy("p_scores.npy", LAC_F32, 1, (int64_t[]){1}, 2);
    lac_dataset *set = open_set("{\"task\":\"sst2\",\"set\":\"w\"}", graph);
    assert_int_equal(lac_dataset_output(set), 2);
    for (int item = 0; item < 2; item++) {
        int64_t length = item ? 5 : 3;
        ok(lac_dataset_sample(set, item, 0, in, &err), &err);
        for (int n = 0; n < 2; n++) {
            assert_true(in[n].dtype == LAC_I64 && in[n].rank == 2);
            assert_int_equal(in[n].dims[1], length);
            for (int64_t i = 0; i < length; i++)
                assert_int_equal(((const int64_t *)in[n].data)[i], n ? 1 : rows[item][i]);
            lac_tensor_release(&in[n]);
        }
    }
    lac_dataset_close(set);
    set = open_set("{\"task\":\"stsb_spearman\",\"set\":\"p\"}", graph);
    assert_int_equal(lac_dataset_metric(set), LAC_METRIC_SPEARMAN);
    assert_int_equal(lac_dataset_runs(set), 2);
    assert_int_equal(lac_dataset_output(set), 1);
    assert_int_equal(lac_dataset_count(set), 1);
    ok(lac_dataset_sample(set, 0, 1, in, &err), &err);
    assert_int_equal(in[0].dims[1], 5);
    lac_tensor_release(&in[0]);
    lac_tensor_release(&in[1]);
    lac_dataset_close(set);
    refused("{\"task\":\"stsb_spearman\",\"set\":\"w\"}", graph, "w_scores.npy");
    write_npy("e_ids_i16.npy", LAC_I16, 2, (int64_t[]){2, 0}, 2);
    write_npy("e_labels.npy", LAC_U8, 1, (int64_t[]){2}, 2);
    refused("{\"task\":\"sst2\",\"set\":\"e\"}", graph, "samples of 0 tokens");
    lac_graph_free(graph);
}

static void image_folder(void **state)
{
    (void)state;
#if LACUNA_HAVE_SPNG
    lac_error err = {0};
    lac_tensor in[1];
    lac_graph *graph = make_graph(4, 1, x_name, 1, y_name);
    static const char labels[] = "file\tclass\tname\none.png\t4\tgoldfish\ntwo.png\t11\n";
    mkdir(in_folder("set"), 0777);
    mkdir(in_folder("set/img"), 0777);
    copy_file(LACUNA_SOURCE_DIR "/tests/fuzz/corpus/image/known.png", "set/img/one.png");
    copy_file(LACUNA_SOURCE_DIR "/tests/fuzz/corpus/image/cut.png", "set/two.png");
    ok(lac_write_file(in_folder("set/labels.tsv"), labels, strlen(labels), &err), &err);
    lac_dataset *set = open_set("{\"task\":\"image_top1\",\"set\":\"set\",\"preprocess\":"
                                "{\"kind\":\"u8_affine\",\"crop\":2,\"crop_offset\":[0,1]}}",
                                graph);
    assert_int_equal(lac_dataset_count(set), 2);
    assert_true(lac_dataset_label(set, 0) == 4 && lac_dataset_label(set, 1) == 11);
    ok(lac_dataset_sample(set, 0, 0, in, &err), &err);
    assert_true(in[0].dims[1] == 3 && in[0].dims[2] == 2);
    assert_true(((const float *)in[0].data)[4] == 4); /* channel 1, (0, 0) */
    lac_tensor_release(&in[0]);
    assert_int_equal(lac_dataset_sample(set, 1, 0, in, &err), LAC_ERROR_INPUT);
    says(&err, "set/two.png: PNG: "); /* beside labels.tsv, and damaged */
    lac_dataset_close(set);
    static const struct {
        const char *text, *part;
    } bad[] = {{"file\tclass\none.png 4\n", "labels.tsv line 2: want file, tab, class"},
               {"file\tclass\none.png\tfour\n", "labels.tsv line 2: class 'four'"},
               {"file\tclass\none.png\t-1\n", "class '-1'"},
               {"file\tclass\n../one.png\t1\n", "has a folder"}};
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
        ok(lac_write_file(in_folder("set/labels.tsv"), bad[b].text, strlen(bad[b].text), &err),
           &err);
        refused("{\"task\":\"image_top1\",\"set\":\"set\"}", graph, bad[b].part);
    }
    lac_graph_free(graph);
#else
    skip();
#endif
}

static void glyph_set(void **state)
{
    (void)state;
    lac_error err = {0};
    lac_tensor in[1];
    uint8_t pixels[LAC_GLYPHS_PIXELS], label;
    int64_t left_out;
    lac_graph *graph = make_graph(4, 1, x_name, 1, y_name);
    lac_dataset *set = open_set("{\"task\":\"array_top1\",\"set\":\"glyphs:test\",\"n\":100,"
                                "\"preprocess\":{\"kind\":\"scale\",\"scale\":1}}",
                                graph);
    assert_int_equal(lac_dataset_count(set), 100);
    ok(lac_dataset_sample(set, 5, 0, in, &err), &err);
    lac_glyphs_draw(LAC_GLYPHS_TEST_SEED, 5, pixels, &label);
    assert_true(lac_dataset_label(set, 5) == label);
    for (int i = 0; i < LAC_GLYPHS_PIXELS; i++)
        assert_true(((const float *)in[0].data)[i] == pixels[i]);
    lac_tensor_release(&in[0]);
    assert_int_equal(lac_dataset_calibration_count(set, &left_out), 64);
    assert_int_equal(left_out, 0);
    ok(lac_dataset_calibration_sample(set, 5, in, &err), &err);
    lac_tensor_release(&in[0]);
    lac_dataset_close(set);
    lac_graph_free(graph);
}

/* The part of a set that is for training: other draws, files beside the set or in a folder. */
static void training_parts(void **state)
{
    (void)state;
    lac_error err = {0};
    lac_graph *graph = make_graph(4, 1, x_name, 1, y_name);
    json_t *part, *task = json_pack("{s:s, s:s, s:i, s:s}", "task", "array_top1", "set",
                                    "glyphs:test", "n", 100, "base", folder);
    lac_dataset *set;
    uint8_t label, other;
    int64_t differ = 0;
    ok(lac_task_training(&part, task, NULL, &err), &err);
    ok(lac_dataset_open(&set, part, graph, &err), &err);
    assert_int_equal(lac_dataset_count(set), LAC_GLYPHS_TRAIN_COUNT);
    for (int64_t i = 0; i < 100; i++) {
        lac_glyphs_draw(LAC_GLYPHS_TRAIN_SEED, i, NULL, &label);
        lac_glyphs_draw(LAC_GLYPHS_TEST_SEED, i, NULL, &other);
        assert_true(lac_dataset_label(set, i) == label);
        differ += label != other;
    }
    assert_true(differ > 50);
    lac_dataset_close(set);
    json_decref(part);

    json_object_set_new(task, "set", json_string("u"));
    ok(lac_task_training(&part, task, NULL, &err), &err);
    assert_null(part);
    write_idx("train-images-idx3-ubyte", 33, 2, 2);
    write_idx("train-labels-idx1-ubyte", 33, 0, 0);
    ok(lac_task_training(&part, task, NULL, &err), &err);
    ok(lac_dataset_open(&set, part, graph, &err), &err);
    assert_int_equal(lac_dataset_count(set), 33);
    assert_true(lac_dataset_label(set, 32) == 2);
    lac_dataset_close(set);
    json_decref(part);
    json_object_set_new(task, "set", json_string("train")); /* scored: then not for training */
    ok(lac_task_training(&part, task, NULL, &err), &err);
    assert_null(part);
    unlink(in_folder("train-images-idx3-ubyte"));
    unlink(in_folder("train-labels-idx1-ubyte"));

    assert_int_equal(lac_task_training(&part, task, folder, &err), LAC_ERROR_INPUT);
    says(&err, "no train_u8.npy");
    write_npy("train_u8.npy", LAC_U8, 3, (int64_t[]){5, 2, 3}, 256);
    ok(lac_task_training(&part, task, folder, &err), &err);
    assert_string_equal(json_string_value(json_object_get(part, "set")), "train");
    json_decref(part);
    unlink(in_folder("train_u8.npy"));
    json_object_set_new(task, "task", json_string("image_top1"));
    assert_int_equal(lac_task_training(&part, task, folder, &err), LAC_ERROR_UNSUPPORTED);
    json_decref(task);
    lac_graph_free(graph);
}

/* ---- where tasks come from
 * ----------------------------------------------------------------------- */

/* The first task that the model at `path` has in its metadata lies below `want`. */
static void base_is(const lac_graph *graph, const char *path, const char *want)
{
    lac_error err = {0};
    json_t *tasks;
    ok(lac_tasks_find(&tasks, graph, path, NULL, &err), &err);
    assert_string_equal(json_string_value(json_object_get(json_array_get(tasks, 0), "base")), want);
    json_decref(tasks);
}

static void tasks_of_files(void **state)
{
    (void)state;
    lac_error err = {0};
    json_t *tasks;
    lac_graph *graph = make_graph(2, 1, x_name, 1, y_name);
    static const char meta[] =
        "{\"files\":{\"a\":\"a.onnx\",\"b\":\"b.onnx\"},"
        "\"inputs\":[{\"name\":\"x\",\"preprocess\":{\"kind\":\"scale\"}}],"
        "\"tasks\":[{\"task\":\"t1\",\"model\":\"a\"},{\"task\":\"t2\",\"model\":\"b\"},"
        "{\"task\":\"t3\",\"preprocess\":{\"kind\":\"none\"}}]}";
    mkdir(in_folder("models"), 0777);
    mkdir(in_folder("models/net"), 0777);
    ok(lac_write_file(in_folder("models/net/meta.json"), meta, strlen(meta), &err), &err);
    ok(lac_tasks_find(&tasks, graph, in_folder("models/net/a.onnx"), NULL, &err), &err);
    assert_int_equal(json_array_size(tasks), 2); /* t1, t3 */
    const json_t *first = json_array_get(tasks, 0), *second = json_array_get(tasks, 1);
    assert_string_equal(json_string_value(json_object_get(first, "task")), "t1");
    assert_string_equal(json_string_value(json_object_get(second, "task")), "t3");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(first, "preprocess"), "kind")), "scale");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(second, "preprocess"), "kind")), "none");
    char home[PATH_MAX];
    assert_non_null(realpath(folder, home));
    assert_string_equal(json_string_value(json_object_get(first, "base")), home);

    /* Kept in the graph, they need no file; the way to the data is told from where it will lie. */
    mkdir(in_folder("models/net/small"), 0777);
    ok(lac_tasks_keep_for(graph, tasks, in_folder("models/net/small/a.onnx"), &err), &err);
    assert_null(strstr(lac_graph_meta(graph, "lacuna.task"), home));
    assert_non_null(strstr(lac_graph_meta(graph, "lacuna.task"), "\"base\":\"../../..\""));
    base_is(graph, in_folder("models/net/small/a.onnx"), home);
    /* Model and data moved together. */
    mkdir(in_folder("moved"), 0777);
    assert_int_equal(rename(in_folder("models"), in_folder("moved/models")), 0);
    char moved[PATH_MAX];
    assert_non_null(realpath(in_folder("moved"), moved));
    base_is(graph, in_folder("moved/models/net/small/a.onnx"), moved);
    assert_int_equal(rename(in_folder("moved/models"), in_folder("models")), 0);
    /* Into the data folder, and below it. */
    ok(lac_tasks_keep_for(graph, tasks, in_folder("a.onnx"), &err), &err);
    assert_non_null(strstr(lac_graph_meta(graph, "lacuna.task"), "\"base\":\".\""));
    base_is(graph, in_folder("a.onnx"), home);
    json_object_set_new(json_array_get(tasks, 0), "base", json_string(moved));
    ok(lac_tasks_keep_for(graph, tasks, in_folder("models/a.onnx"), &err), &err);
    assert_non_null(strstr(lac_graph_meta(graph, "lacuna.task"), "\"base\":\"../moved\""));
    base_is(graph, in_folder("models/a.onnx"), moved);
    /* Gone: where the variable says. */
    assert_int_equal(rmdir(moved), 0);
    setenv("LACUNA_DATA", "/some/data", 1);
    base_is(graph, in_folder("models/a.onnx"), "/some/data");
    unsetenv("LACUNA_DATA");
    json_object_set_new(json_array_get(tasks, 0), "base", json_string(home));

    /* For no file: no base. An input's own description fills in. */
    ok(lac_tasks_keep(graph, tasks, &err), &err);
    assert_null(strstr(lac_graph_meta(graph, "lacuna.task"), "base"));
    json_decref(tasks);
    ok(lac_tasks_find(&tasks, graph, "/nowhere/else.onnx", NULL, &err), &err);
    assert_int_equal(json_array_size(tasks), 2);
    json_decref(tasks);
    ok(lac_graph_meta_set(graph, "lacuna.task", "{\"task\":\"t4\"}", &err), &err);
    ok(lac_graph_meta_set(graph, "lacuna.input.x", "{\"kind\":\"dequant\"}", &err), &err);
    ok(lac_tasks_find(&tasks, graph, NULL, NULL, &err), &err);
    assert_string_equal(json_string_value(json_object_get(
                            json_object_get(json_array_get(tasks, 0), "preprocess"), "kind")),
                        "dequant");
    json_decref(tasks);
    ok(lac_graph_meta_set(graph, "lacuna.task", "{\"task\":", &err), &err);
    assert_int_equal(lac_tasks_find(&tasks, graph, NULL, NULL, &err), LAC_ERROR_INPUT);
    says(&err, "metadata lacuna.task");
    ok(lac_write_file(in_folder("models/net/meta.json"), "{\n\n[", 4, &err), &err);
    assert_int_equal(lac_tasks_find(&tasks, graph, NULL, in_folder("models/net/meta.json"), &err),
                     LAC_ERROR_INPUT);
    says(&err, "meta.json: line 3");
    lac_graph_free(graph);
}

/* Every task of every shared model opens, and its first and last samples have the input's shape. */
static void shared_tasks(void **state)
{
    (void)state;
    char models[512], path[1024];
    int opened = 0, unscored = 0;
    if (!golden_shared(models, sizeof models, "data/models")) {
        print_message("SKIP: no shared models (LACUNA_SHARED)\n");
        skip();
    }
    DIR *dir = opendir(models);
    for (struct dirent *each; (each = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", models, each->d_name);
        DIR *inner = each->d_name[0] == '.' ? NULL : opendir(path);
        for (struct dirent *file; inner && (file = readdir(inner));) {
            lac_error err = {0};
            lac_graph *graph;
            json_t *tasks, *task;
            size_t i, length = strlen(file->d_name);
            if (length < 5 || strcmp(file->d_name + length - 5, ".onnx") != 0)
                continue;
            snprintf(path, sizeof path, "%s/%s/%s", models, each->d_name, file->d_name);
            ok(lac_onnx_load(&graph, path, &err), &err);
            ok(lac_tasks_find(&tasks, graph, path, NULL, &err), &err);
            json_array_foreach(tasks, i, task)
            {
                lac_dataset *set;
                lac_status status = lac_dataset_open(&set, task, graph, &err);
                if (status == LAC_ERROR_UNSUPPORTED) {
                    unscored++;
                    continue;
                }
                ok(status, &err);
                assert_int_equal(lac_dataset_count(set),
                                 json_integer_value(json_object_get(task, "n")));
                for (int last = 0; last < 2; last++) {
                    lac_tensor in[8];
                    assert_true(graph->n_inputs <= 8);
                    int64_t item = last ? lac_dataset_count(set) - 1 : 0;
                    ok(lac_dataset_sample(set, item, 0, in, &err), &err);
                    for (int k = 0; k < graph->n_inputs; k++) {
                        const lac_value *want = &graph->values[graph->inputs[k]];
                        assert_int_equal(in[k].dtype, want->dtype);
                        assert_int_equal(in[k].rank, want->rank);
                        for (int d = 0; d < want->rank; d++)
                            assert_true(want->dims[d].size < 0 ||
                                        want->dims[d].size == in[k].dims[d]);
                        lac_tensor_release(&in[k]);
                    }
                }
                lac_dataset_close(set);
                opened++;
            }
            json_decref(tasks);
            lac_graph_free(graph);
        }
        if (inner)
            closedir(inner);
    }
    closedir(dir);
    print_message("%d tasks opened, %d of kinds that are not scored\n", opened, unscored);
    assert_true(opened >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays),         cmocka_unit_test(idx_pairs),
        cmocka_unit_test(features),       cmocka_unit_test(tokens),
        cmocka_unit_test(image_folder),   cmocka_unit_test(glyph_set),
        cmocka_unit_test(training_parts), cmocka_unit_test(tasks_of_files),
        cmocka_unit_test(shared_tasks),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
