/* Every stored network on its stored inputs, as stored and each sample alone, against the stored
 * outputs: with the portable kernels, with what this CPU has, without fusion; the same bits for one
 * and two threads. */
#include "helpers/models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double LIMIT = 1e-3; /* of the largest |output| */

typedef struct tally {
    const lac_session_options *options;
    bool alone;   /* each sample by itself */
    bool threads; /* compare bits of 1 and 2 threads */
    int failed, checked;
} tally;

static void complain(tally *t, const stored_model *m, const char *what, const char *message)
{
    printf("FAILED %s (%s): %s\n", m->name, what, message);
    t->failed++;
}

static void check(tally *t, const stored_model *m, int64_t sample, const lac_tensor *out)
{
    for (int k = 0; k < m->graph->n_outputs; k++) {
        if (m->want[k].dtype == LAC_NONE)
            continue;
        lac_tensor one = {0};
        const lac_tensor *want = &m->want[k];
        if (sample >= 0) {
            one = sample_of(&m->want[k], m->batch_out[k], sample);
            want = &one;
        }
        double worst = difference(&out[k], want);
        if (!(worst <= LIMIT)) {
            char text[200];
            snprintf(text, sizeof text, "output %d sample %d differs by %.3g of the largest", k,
                     (int)sample, worst);
            complain(t, m, "difference", text);
        }
        t->checked++;
        lac_tensor_release(&one);
    }
}

static bool run_sample(tally *t, stored_model *m, lac_session *session, int64_t sample)
{
    lac_tensor in[8] = {{0}}, out[8], again[8];
    lac_error err = {0};
    for (int i = 0; i < m->graph->n_inputs; i++)
        if (sample >= 0)
            in[i] = sample_of(&m->in[i], m->batch_in[i], sample);
        else
            lac_tensor_share(&in[i], &m->in[i]);
    if (t->threads)
        lac_threads_set(1);
    lac_status status = lac_session_run(session, in, out, &err);
    if (status == LAC_OK) {
        check(t, m, sample, out);
        if (t->threads) {
            lac_threads_set(2);
            status = lac_session_run(session, in, again, &err);
            for (int k = 0; status == LAC_OK && k < m->graph->n_outputs; k++) {
                if (memcmp(out[k].data, again[k].data, lac_tensor_bytes(&out[k])) != 0)
                    complain(t, m, "threads", "1 and 2 threads differ in bits");
                lac_tensor_release(&again[k]);
            }
        }
        for (int k = 0; k < m->graph->n_outputs; k++)
            lac_tensor_release(&out[k]);
    }
    if (status != LAC_OK)
        complain(t, m, "run", err.message);
    for (int i = 0; i < m->graph->n_inputs; i++)
        lac_tensor_release(&in[i]);
    return status == LAC_OK;
}

static bool body(void *context, stored_model *m)
{
    tally *t = context;
    lac_session *session;
    lac_error err;
    int before = t->checked;
    if (m->steps) /* they have their own test */
        return true;
    if (m->graph->n_inputs > 8 || m->graph->n_outputs > 8) {
        complain(t, m, "stored", "more than 8 inputs or outputs");
        return true;
    }
    for (int i = 0; i < m->graph->n_inputs; i++)
        if (!m->in[i].data) {
            complain(t, m, "stored", "an input is not stored, and there are no steps");
            return true;
        }
    if (lac_session_make(&session, m->graph, t->options, &err) != LAC_OK) {
        complain(t, m, "session", err.message);
        return true;
    }
    if (!t->alone)
        run_sample(t, m, session, -1);
    for (int64_t s = 0; t->alone && s < m->samples; s++)
        if (!run_sample(t, m, session, s))
            break;
    lac_session_free(session);
    if (t->checked == before)
        complain(t, m, "stored", "no output was compared");
    return true;
}

static void all(const char *isa, bool alone, bool threads, const lac_session_options *options)
{
    tally t = {.options = options, .alone = alone, .threads = threads};
    if (!shared_folder())
        skip();
    setenv("LACUNA_ISA", isa, 1);
    int count = each_stored_model(body, &t);
    lac_threads_set(0);
    unsetenv("LACUNA_ISA");
    printf("%d files, %d outputs checked, %d failures\n", count, t.checked, t.failed);
    assert_true(count > 0 && t.checked > 0);
    assert_int_equal(t.failed, 0);
}

static void native_stored(void **state)
{
    (void)state;
    all("native", false, true, NULL);
}

static void native_alone(void **state)
{
    (void)state;
    all("native", true, true, NULL);
}

static void ref_stored(void **state)
{
    (void)state;
    all("ref", false, false, NULL);
}

static void ref_alone(void **state)
{
    (void)state;
    all("ref", true, false, NULL);
}

static void avx2_stored(void **state)
{
    (void)state;
    all("avx2", false, false, NULL);
}

static void unfused(void **state)
{
    lac_session_options options = {.no_fusion = true};
    (void)state;
    all("native", false, false, &options);
}

/* ---- networks that carry a state from step to step --------------------------------------------
 */

static int value_index(const lac_graph *graph, const int *list, int n, const json_t *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(graph->values[list[i]].name, json_string_value(name)) == 0)
            return i;
    return -1;
}

static void one_stepped(const char *folder, const json_t *step, const json_t *files)
{
    char path[1024];
    lac_graph *graph;
    lac_session *session;
    lac_tensor x, y, in[2] = {{0}}, out[2], got;
    lac_error err = {0};
    const char *model = json_string_value(json_object_get(step, "model"));
    snprintf(path, sizeof path, "%s/%s", folder, json_string_value(json_object_get(files, model)));
    assert_int_equal(lac_onnx_load(&graph, path, &err), LAC_OK);
    lac_status status = lac_session_make(&session, graph, NULL, &err);
    if (status != LAC_OK)
        fail_msg("%s", err.message);
    snprintf(path, sizeof path, "%s/%s", folder, json_string_value(json_object_get(step, "x")));
    assert_int_equal(lac_npy_load(&x, path, &err), LAC_OK);
    snprintf(path, sizeof path, "%s/%s", folder, json_string_value(json_object_get(step, "y")));
    assert_int_equal(lac_npy_load(&y, path, &err), LAC_OK);
    int at_x = value_index(graph, graph->inputs, 2, json_object_get(step, "input"));
    int at_s = value_index(graph, graph->inputs, 2, json_object_get(step, "state_in"));
    int at_y = value_index(graph, graph->outputs, 2, json_object_get(step, "output"));
    int at_t = value_index(graph, graph->outputs, 2, json_object_get(step, "state_out"));
    assert_true(at_x >= 0 && at_s >= 0 && at_y >= 0 && at_t >= 0);
    const lac_value *state = &graph->values[graph->inputs[at_s]];
    int64_t dims[LAC_MAX_RANK];
    for (int d = 0; d < state->rank; d++)
        dims[d] = state->dims[d].size;
    assert_int_equal(lac_tensor_make(&in[at_s], LAC_F32, state->rank, dims, &err), LAC_OK);
    assert_int_equal(lac_tensor_make(&got, LAC_F32, y.rank, y.dims, &err), LAC_OK);
    assert_true(x.dims[0] > 0 && y.dims[0] == x.dims[0]);
    const lac_value *frame = &graph->values[graph->inputs[at_x]];
    for (int d = 0; d < frame->rank; d++)
        dims[d] = frame->dims[d].size;
    size_t x_bytes = lac_tensor_bytes(&x) / (size_t)x.dims[0];
    size_t y_bytes = lac_tensor_bytes(&y) / (size_t)y.dims[0];
    for (int64_t s = 0; s < x.dims[0]; s++) {
        in[at_x] =
            lac_tensor_view(LAC_F32, frame->rank, dims, (char *)x.data + (size_t)s * x_bytes);
        if (lac_session_run(session, in, out, &err) != LAC_OK)
            fail_msg("%s", err.message);
        assert_int_equal(lac_tensor_bytes(&out[at_y]), y_bytes);
        memcpy((char *)got.data + (size_t)s * y_bytes, out[at_y].data, y_bytes);
        lac_tensor_release(&in[at_s]);
        in[at_s] = out[at_t];
        lac_tensor_release(&out[at_y]);
    }
    double worst = difference(&got, &y);
    printf("%s: %.3g\n", model, worst);
    assert_true(worst <= LIMIT);
    lac_tensor_release(&in[at_s]);
    lac_tensor_release(&got);
    lac_tensor_release(&x);
    lac_tensor_release(&y);
    lac_session_free(session);
    lac_graph_free(graph);
}

/* The steps of one file, of which there is one at least. */
static bool step_through(void *context, stored_model *m)
{
    size_t i;
    json_t *step;
    char folder[512];
    int before = *(int *)context;
    snprintf(folder, sizeof folder, "%s", m->path);
    *strrchr(folder, '/') = 0;
    json_array_foreach(json_object_get(m->meta, "steps"), i, step)
    {
        if (strcmp(json_string_value(json_object_get(step, "model")), m->key) != 0)
            continue;
        one_stepped(folder, step, json_object_get(m->meta, "files"));
        ++*(int *)context;
    }
    if (m->steps && *(int *)context == before)
        fail_msg("%s: not one of the steps is of this file", m->name);
    return true;
}

static void stepped(void **state)
{
    (void)state;
    if (!shared_folder())
        skip();
    for (int pass = 0; pass < 2; pass++) {
        int steps = 0;
        setenv("LACUNA_ISA", pass ? "ref" : "native", 1);
        assert_true(each_stored_model(step_through, &steps) > 0);
        assert_true(steps > 0);
    }
    unsetenv("LACUNA_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native_stored), cmocka_unit_test(native_alone),
        cmocka_unit_test(ref_stored),    cmocka_unit_test(ref_alone),
        cmocka_unit_test(avx2_stored),   cmocka_unit_test(unfused),
        cmocka_unit_test(stepped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
