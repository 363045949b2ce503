/* See networks.h. */
#include "networks.h"

#include "core/memory.h"
#include "study/bench.h"
#include "study/model.h"
#include "study/sample.h"

#include <lacuna/lacuna.h>
#include <lacuna/scheme.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALIBRATE = 4 };

static lac_status race(bench_network *result, const lac_model *model, const lac_graph *graph,
                       lac_dataset *dataset, double budget_seconds, lac_error *err)
{
    lac_tensor *in = NULL;
    lac_bench bench = {0};
    char source[256];
    LAC_TRY(lac_sample_inputs(model, dataset, 0, NULL, &in, source, sizeof source, err));
    lac_status status = lac_bench_for(&bench, graph, model->graph, in, budget_seconds, err);
    *result = (bench_network){.seconds = 1e-3 * bench.ms, .dense_seconds = 1e-3 * bench.ms_dense};
    for (int i = 0; i < bench.n; i++) {
        result->macs += bench.layer[i].macs;
        result->stored_bytes += bench.layer[i].stored_bytes;
    }
    for (int i = 0; i < model->graph->n_inputs; i++)
        lac_tensor_release(&in[i]);
    lac_free(in);
    lac_bench_release(&bench);
    return status;
}

static lac_status compress(bench_network *result, const lac_model *model, const char *scheme,
                           double budget_seconds, lac_error *err)
{
    lac_composition composition;
    lac_compression compression = {0};
    lac_calibration calibration;
    lac_dataset *dataset = NULL;
    int64_t left_out;
    LAC_TRY(lac_scheme_parse(scheme, &composition, err));
    lac_status status = LAC_OK;
    if (lac_scheme_calibrates(&composition))
        status = lac_sample_calibration(model, &dataset, &calibration, &left_out, err);
    else
        status = lac_sample_dataset(model, &dataset, err);
    if (status == LAC_OK && lac_scheme_calibrates(&composition) && dataset) {
        calibration.samples = calibration.samples < CALIBRATE ? calibration.samples : CALIBRATE;
        compression.calibration = &calibration;
    }
    if (status == LAC_OK)
        status = lac_compress(&compression, model->graph, scheme, err);
    if (status == LAC_OK)
        status = race(result, model, compression.graph, dataset, budget_seconds, err);
    lac_compression_release(&compression);
    lac_dataset_close(dataset);
    return status;
}

lac_status bench_network_run(bench_network *result, const char *file, const char *scheme,
                             double budget_seconds, lac_error *err)
{
    const char *shared = getenv("LACUNA_SHARED");
    char path[1024];
    lac_model model;
    snprintf(path, sizeof path, "%s/data/models/%s", shared ? shared : "../shared", file);
    if (access(path, R_OK) != 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s is absent: set LACUNA_SHARED", path);
    LAC_TRY(lac_model_open(&model, path, NULL, err));
    lac_status status = compress(result, &model, scheme, budget_seconds, err);
    lac_model_close(&model);
    return status;
}
