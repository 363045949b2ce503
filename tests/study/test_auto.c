/* The automatic choice: a form and a reason for every weight, a score that holds and that the
 * network really has, kernels that really read the packed weights, before and after the file. */
#include "core/memory.h"
#include "helpers/models.h"
#include "io/dataset.h"
#include "scheme/weights.h"
#include "study/auto.h"
#include "study/auto_make.h"
#include "study/evaluate.h"
#include "study/sample.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static lac_error err;

static void check(lac_status status)
{
    if (status != LAC_OK)
        fail_msg("%s", err.message);
}

/* One run of the graph on the model's sample; the session stays open for its steps. */
static lac_session *run_once(const lac_graph *graph, const lac_model *model)
{
    lac_session *session;
    lac_dataset *dataset;
    lac_tensor *in, out[8] = {0};
    char source[200];
    check(lac_session_make(&session, graph, NULL, &err));
    check(lac_sample_dataset(model, &dataset, &err));
    check(lac_sample_inputs(model, dataset, 0, NULL, &in, source, sizeof source, &err));
    check(lac_session_run(session, in, out, &err));
    for (int i = 0; i < graph->n_inputs; i++)
        lac_tensor_release(&in[i]);
    for (int i = 0; i < graph->n_outputs; i++)
        lac_tensor_release(&out[i]);
    lac_free(in);
    lac_dataset_close(dataset);
    return session;
}

/* The format that the layer's kernel reads, as the chosen form begins. */
static void assert_runs_as_reported(const lac_session *session, const lac_auto *chosen)
{
    for (int i = 0; i < chosen->n; i++) {
        lac_step_info info;
        bool found = false;
        const char *form = chosen->layer[i].form;
        for (int k = 0; lac_session_step(session, k, &info); k++) {
            if (strcmp(info.name, chosen->layer[i].name) != 0 || info.macs == 0)
                continue;
            found = true;
            if (strncmp(form, info.format, strcspn(form, ": ")) != 0)
                fail_msg("%s: reported as %s, runs as %s (%s)", info.name, form, info.format,
                         info.why);
        }
        assert_true(found);
    }
}

static double score_of(const lac_graph *graph, const lac_model *model, int64_t items)
{
    lac_session *session;
    lac_dataset *dataset;
    lac_calibration calibration;
    lac_score score;
    int64_t left_out;
    check(lac_sample_calibration(model, &dataset, &calibration, &left_out, &err));
    check(lac_session_make(&session, graph, NULL, &err));
    check(lac_evaluate(session, dataset, left_out, items, NULL, NULL, &score, &err));
    double value = score.value;
    lac_score_release(&score);
    lac_session_free(session);
    lac_dataset_close(dataset);
    return value;
}

static void check_choice(const lac_auto *chosen, const lac_model *model, double max_loss)
{
    char path[] = LACUNA_BINARY_DIR "/test_auto_XXXXXX"; /* filled in by mkstemp */
    lac_graph *read;
    lac_session *session;
    assert_true(chosen->n > 0 && chosen->n == chosen->compression.n_weights);
    for (int i = 0; i < chosen->n; i++) {
        const lac_auto_layer *layer = &chosen->layer[i];
        printf("  %-20s %-28s %s\n", layer->name, layer->form, layer->why);
        assert_true(layer->form[0] && layer->why[0]);
        assert_true(layer->ms > 0 && layer->ms_float > 0);
        assert_true(layer->sparsity >= 0 && layer->sparsity <= 1);
    }
    printf("  %.4f ms (float32 %.4f, int8 %.4f), score %.4f from %.4f; %s\n", chosen->ms,
           chosen->ms_float, chosen->ms_int8, chosen->score, chosen->score_before, chosen->why);
    assert_true(chosen->score >= chosen->score_before - max_loss - 1e-9);
    assert_true(chosen->score == score_of(chosen->compression.graph, model, chosen->items));
    session = run_once(chosen->compression.graph, model);
    assert_runs_as_reported(session, chosen);
    lac_session_free(session);
    int file = mkstemp(path); /* the decision is in the file */
    assert_true(file >= 0);
    close(file);
    check(lac_onnx_save(chosen->compression.graph, path, 0, &err));
    check(lac_onnx_load(&read, path, &err));
    unlink(path);
    session = run_once(read, model);
    assert_runs_as_reported(session, chosen);
    lac_session_free(session);
    assert_true(chosen->score == score_of(read, model, chosen->items));
    lac_graph_free(read);
}

static void choose(const char *path, const lac_auto_options *options)
{
    lac_model model;
    lac_auto chosen;
    check(lac_model_open(&model, path, NULL, &err));
    check(lac_auto_choose(&chosen, &model, options, &err));
    check_choice(&chosen, &model, options->max_loss);
    lac_auto_release(&chosen);
    lac_model_close(&model);
}

static void test_builtin(void **unused)
{
    (void)unused;
    choose("glyph_mlp", &(lac_auto_options){.max_loss = 0.02, .budget = 10, .items = 200});
    choose("glyph_vit", &(lac_auto_options){.max_loss = 0.02, .budget = 10, .items = 50});
}

/* Without leave to prune, every zero was there before, and nothing is lost with a bound of 0 that
 * the score does not show. */
static void test_no_pruning(void **unused)
{
    (void)unused;
    lac_model model;
    lac_auto chosen;
    lac_auto_options options = {.budget = 5, .items = 100, .keep_weights = true};
    check(lac_model_open(&model, "glyph_mlp", NULL, &err));
    check(lac_auto_choose(&chosen, &model, &options, &err));
    check_choice(&chosen, &model, 0);
    for (int i = 0; i < chosen.n; i++)
        assert_true(chosen.layer[i].sparsity < 0.2); /* what rounding makes */
    lac_auto_release(&chosen);
    lac_model_close(&model);
}

/* The next to no time: dense networks and the score are all there is, and it says so. */
static void test_out_of_time(void **unused)
{
    (void)unused;
    lac_model model;
    lac_auto chosen;
    lac_auto_options options = {.max_loss = 0.01, .budget = 1e-3, .items = 20};
    check(lac_model_open(&model, "glyph_mlp", NULL, &err));
    check(lac_auto_choose(&chosen, &model, &options, &err));
    assert_true(chosen.out_of_time);
    for (int i = 0; i < chosen.n; i++)
        assert_true(strncmp(chosen.layer[i].form, "dense ", 6) == 0);
    lac_auto_release(&chosen);
    lac_model_close(&model);
}

static void test_integers_are_refused(void **unused)
{
    (void)unused;
    lac_model model;
    lac_auto chosen;
    lac_dataset *dataset;
    lac_calibration calibration;
    int64_t left_out;
    lac_auto_options options = {.max_loss = 0.01, .budget = 1};
    check(lac_model_open(&model, "glyph_mlp", NULL, &err));
    check(lac_sample_calibration(&model, &dataset, &calibration, &left_out, &err));
    lac_compression c = {.calibration = &calibration};
    check(lac_compress(&c, model.graph, "int8", &err));
    lac_graph *floats = model.graph;
    model.graph = c.graph;
    assert_int_equal(lac_auto_choose(&chosen, &model, &options, &err), LAC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "network of floats"));
    model.graph = floats;
    lac_compression_release(&c);
    lac_dataset_close(dataset);
    lac_model_close(&model);
}

/* ---- layers that integers harm */

/* One weight of every output of the second layer becomes so large that the steps of its grid
 * swallow all others; it meets an activation that is always 0, so that floats do not notice. */
static lac_status spoil(void *context, lac_compression *c, bool done, lac_error *e)
{
    const lac_tensor *bias = NULL;
    int64_t dead = -1;
    (void)e;
    if (done)
        return LAC_OK;
    for (int n = 0; n < c->graph->n_nodes; n++)
        if (strcmp(c->graph->nodes[n].name, c->weights[0].name) == 0 && c->graph->nodes[n].n_in > 2)
            bias = &c->graph->values[c->graph->nodes[n].in[2]].constant;
    assert_non_null(bias);
    for (int64_t i = 0; dead < 0 && i < lac_tensor_count(bias); i++)
        dead = lac_tensor_get(bias, i) < 0 ? i : -1; /* ReLU makes it 0 */
    assert_true(dead >= 0);
    float *first = c->weights[0].tensor.data, *second = c->weights[1].tensor.data;
    for (int64_t k = 0; k < c->weights[0].cols; k++)
        first[lac_weight_at(&c->weights[0], dead, k)] = 0;
    for (int64_t r = 0; r < c->weights[1].rows; r++)
        second[lac_weight_at(&c->weights[1], r, dead)] = 1000;
    c->weights[0].changed = c->weights[1].changed = true;
    snprintf(context, 128, "%s", c->weights[1].name);
    return LAC_OK;
}

static void test_given_back(void **unused)
{
    (void)unused;
    char spoilt[128] = "";
    lac_model model;
    lac_auto chosen;
    lac_auto_options options = {.max_loss = 0.01, .budget = 20, .items = 200, .keep_weights = true};
    check(lac_model_open(&model, "glyph_mlp", NULL, &err));
    lac_compression c = {.decide = spoil, .decide_context = spoilt};
    check(lac_compress(&c, model.graph, "dense", &err));
    lac_graph *sound = model.graph;
    model.graph = c.graph;
    check(lac_auto_choose(&chosen, &model, &options, &err));
    check_choice(&chosen, &model, options.max_loss);
    assert_true(chosen.score_before > 0.9);
    for (int i = 0; i < chosen.n; i++)
        if (strcmp(chosen.layer[i].name, spoilt) == 0)
            assert_non_null(strstr(chosen.layer[i].form, "float32"));
    assert_non_null(strstr(chosen.why, "1 of 3 layers in floats"));
    lac_auto_release(&chosen);
    options.max_loss = -1; /* cannot be met: floats it is */
    check(lac_auto_choose(&chosen, &model, &options, &err));
    for (int i = 0; i < chosen.n; i++)
        assert_non_null(strstr(chosen.layer[i].form, "float32"));
    assert_true(isnan(chosen.ms_int8));
    assert_non_null(strstr(chosen.why, "no int8 network"));
    lac_auto_release(&chosen);
    model.graph = sound;
    lac_compression_release(&c);
    lac_model_close(&model);
}

/* ---- the preference of a file over the estimate */

typedef struct forcing {
    const lac_format *format;
    bool prefer;
} forcing;

static lac_status force(void *context, lac_compression *compression, bool done, lac_error *e)
{
    const forcing *f = context;
    for (int i = 0; done && i < compression->n_weights; i++) {
        lac_weight *weight = &compression->weights[i];
        weight->format = f->format;
        lac_params_init(&weight->params, f->format->params);
        LAC_TRY(lac_format_fit(f->format, &weight->params, weight->view, &weight->tensor, e));
        weight->changed = true;
        weight->prefer = f->prefer;
    }
    return LAC_OK;
}

static int packed_steps(const lac_graph *graph, const lac_model *model, int *unpacked)
{
    lac_step_info info;
    int packed = 0;
    lac_session *session = run_once(graph, model);
    *unpacked = 0;
    for (int k = 0; lac_session_step(session, k, &info); k++) {
        packed += info.macs > 0 && strcmp(info.format, "dense") != 0 && info.format[0];
        *unpacked += strstr(info.why, "unpacked: dense is faster here") != NULL;
    }
    lac_session_free(session);
    return packed;
}

/* Some format that the estimates would unpack is run packed where the file prefers it. */
static void test_preference(void **unused)
{
    (void)unused;
    lac_model model;
    int overridden = 0;
    check(lac_model_open(&model, "glyph_mlp", NULL, &err));
    for (int i = 0; i < lac_table_count(&lac_formats); i++) {
        forcing f = {(const lac_format *)lac_table_at(&lac_formats, i), false};
        lac_compression c = {.decide = force, .decide_context = &f};
        int unpacked, preferred;
        if (!(f.format->dtypes & LAC_BIT(LAC_F32)))
            continue;
        check(lac_compress(&c, model.graph, "magnitude:density=0.4", &err));
        packed_steps(c.graph, &model, &unpacked);
        lac_compression_release(&c);
        f.prefer = true;
        c = (lac_compression){.decide = force, .decide_context = &f};
        check(lac_compress(&c, model.graph, "magnitude:density=0.4", &err));
        int packed = packed_steps(c.graph, &model, &preferred);
        lac_compression_release(&c);
        if (preferred) /* never the estimate */
            fail_msg("%s: %d layers unpacked", f.format->row.name, preferred);
        assert_true(packed >= unpacked);
        overridden += unpacked;
    }
    printf("  %d layers would have been unpacked\n", overridden);
    uint32_t isa;
    check(lac_isa(&isa, &err));
    assert_true(overridden > 0 || isa == 0); /* the portable dense rows are no faster */
    lac_model_close(&model);
}

/* ---- real zeros */

static void test_pruned_network(void **unused)
{
    (void)unused;
    char path[600];
    const char *shared = shared_folder();
    if (!shared)
        return;
    snprintf(path, sizeof path, "%s/data/models/lenet300_pruned/model.onnx", shared);
    choose(path, &(lac_auto_options){.max_loss = 0.01, .budget = 15, .items = 500});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtin),        cmocka_unit_test(test_no_pruning),
        cmocka_unit_test(test_out_of_time),    cmocka_unit_test(test_integers_are_refused),
        cmocka_unit_test(test_given_back),     cmocka_unit_test(test_preference),
        cmocka_unit_test(test_pruned_network),
    };
    lac_threads_set(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
