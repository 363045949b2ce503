/* Section 6.1 of the dossier eie.md: the published tables of EIE beside the model. The nine layers
 * are synthetic ones of the published sizes and densities (cycles depend on the masks alone), the
 * real AlexNet FC8 is run when its data are there. */
#include "accel/eie/reproduce.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accel/eie/mapping.h"
#include "format/eie_csc.h"
#include "format/huffman.h"

/* EIE Tables III and IV: published densities, theoretical and actual time, and the dense times of
 * CPU (i7-5930K, MKL), GPU (Titan X, cuBLAS), mobile GPU (TK1), all us at batch 1. From memory; the
 * geometric means agree with the abstract's 189x and 13x to 3 %. */
static const struct {
    const char *name;
    int in, out;
    const char *wd, *ad;
    double theory, actual, cpu, gpu, mobile;
} published[] = {
    {"Alex-6", 9216, 4096, "0.09", "0.351", 28.1, 30.3, 7516.2, 541.5, 12437.2},
    {"Alex-7", 4096, 4096, "0.09", "0.353", 11.7, 12.2, 6187.1, 243.0, 5765.0},
    {"Alex-8", 4096, 1000, "0.25", "0.375", 8.9, 9.9, 1134.9, 80.5, 2252.1},
    {"VGG-6", 25088, 4096, "0.04", "0.183", 28.1, 34.4, 35022.8, 1467.8, 35427.0},
    {"VGG-7", 4096, 4096, "0.04", "0.375", 7.9, 8.7, 5372.8, 243.0, 5544.3},
    {"VGG-8", 4096, 1000, "0.23", "0.411", 7.3, 8.4, 774.2, 80.5, 2243.1},
    {"NT-We", 4096, 600, "0.10", "1.0", 5.2, 8.0, 605.0, 65, 1316},
    {"NT-Wd", 600, 8791, "0.11", "1.0", 13.0, 13.9, 1361.4, 90.1, 2565.5},
    {"NT-LSTM", 1201, 2400, "0.10", "1.0", 6.5, 7.5, 470.5, 51.9, 956.9},
};
enum { LAYERS = sizeof published / sizeof *published };

#define FROM_MEMORY    "from memory"
#define TABLE_TIME     "EIE Table IV"
#define TABLE_COMPARED "EIE, comparison of platforms"
#define TABLE_CODING   "Deep Compression, AlexNet table"

typedef struct printer {
    void (*row)(void *context, const lac_reproduced *row);
    void *context;
} printer;

/* `unit`: of both figures; the figure of ours comes from a simulation, or from a formula alone. */
static void print(const printer *to, const char *table, const char *name, const char *metric,
                  const char *unit, double paper, double ours, const char *provenance,
                  const char *note)
{
    to->row(to->context, &(lac_reproduced){table, name, metric, paper, ours, provenance, note, unit,
                                           isnan(ours) ? "not run" : "simulated"});
}

static void compute(const printer *to, const char *table, const char *name, const char *metric,
                    const char *unit, double paper, double ours, const char *provenance,
                    const char *note)
{
    to->row(to->context, &(lac_reproduced){table, name, metric, paper, ours, provenance, note, unit,
                                           "computed"});
}

static lac_status run(const lac_layer *layer, const lac_params *params, double *theory_us,
                      double *actual_us, int64_t *cycles, lac_error *err)
{
    lac_result result;
    lac_sim_options options = {.schedule_only = true};
    extern const lac_accel lac_accel_eie;
    LAC_TRY(lac_simulate(&lac_accel_eie, layer, params, &options, &result, err));
    double visited = (double)(lac_result_get(&result, "macs") + lac_result_get(&result, "pad"));
    double clock = lac_params_real(params, "clk");
    *theory_us = visited / (double)lac_params_int(params, "pe") / clock;
    *actual_us = (double)result.cycles / clock;
    *cycles = result.cycles;
    lac_result_release(&result);
    return LAC_OK;
}

static lac_status synthetic(lac_layer *layer, int index, lac_error *err)
{
    char text[64];
    snprintf(text, sizeof text, "fc:in=%d,out=%d,batch=1", published[index].in,
             published[index].out);
    LAC_TRY(lac_layer_parse(layer, text, err));
    layer->seed = 9000;
    lac_status status =
        lac_operand_pattern(&layer->operand[LAC_ROLE_WEIGHTS], published[index].wd, err);
    if (status == LAC_OK)
        status =
            lac_operand_pattern(&layer->operand[LAC_ROLE_ACTIVATIONS], published[index].ad, err);
    if (status == LAC_OK)
        status = layer->kind->generate(layer, err);
    if (status != LAC_OK)
        lac_layer_release(layer);
    return status;
}

/* Times on nine synthetic layers, and of Alex-7 on 256 PEs at 1.2 GHz. */
typedef struct times {
    double actual[LAYERS], projected;
} times;

static lac_status project(const lac_layer *layer, const lac_params *params, times *us,
                          lac_error *err)
{
    lac_params scaled = *params;
    double theory;
    int64_t cycles;
    LAC_TRY(lac_params_set(&scaled, "pe", "256", err));
    LAC_TRY(lac_params_set(&scaled, "clk", "1200", err));
    return run(layer, &scaled, &theory, &us->projected, &cycles, err);
}

static lac_status nine_layers(const printer *to, const lac_params *params, times *us,
                              lac_error *err)
{
    for (int i = 0; i < LAYERS; i++) {
        lac_layer layer;
        double theory;
        int64_t cycles = 0;
        char note[160];
        LAC_TRY(synthetic(&layer, i, err));
        lac_status status = run(&layer, params, &theory, &us->actual[i], &cycles, err);
        if (status == LAC_OK && i == 1)
            status = project(&layer, params, us, err);
        lac_layer_release(&layer);
        LAC_TRY(status);
        const char *cause = "";
        if (i == 2 || i == 3)
            cause = "; the table's density is an average over a data set, not that of the timed "
                    "input";
        snprintf(note, sizeof note, "uniform random masks, seed 9000: %lld cycles%s",
                 (long long)cycles, cause);
        print(to, TABLE_TIME, published[i].name, "theoretical_us", "us", published[i].theory,
              theory, FROM_MEMORY, "(macs + pad) / PEs / clock");
        print(to, TABLE_TIME, published[i].name, "time_us", "us", published[i].actual,
              us->actual[i], FROM_MEMORY, note);
    }
    return LAC_OK;
}

static lac_status coding(const printer *to, const lac_layer *layer, lac_error *err)
{
    lac_eie_problem problem;
    lac_eie_csc csc;
    uint64_t code[256], run_length[256];
    lac_huffman tree;
    double code_bits = 0, run_bits = 0;
    LAC_TRY(lac_eie_map(&problem, layer, true, err));
    lac_status status =
        lac_eie_csc_encode(&csc, problem.codes, problem.rows, problem.cols, 64, 16, err);
    lac_eie_problem_release(&problem);
    LAC_TRY(status);
    lac_eie_csc_histogram(&csc, code, run_length);
    status = lac_huffman_make(&tree, code, 16, err);
    if (status == LAC_OK) {
        code_bits = (double)lac_huffman_bits(&tree, code) / (double)csc.entries;
        status = lac_huffman_make(&tree, run_length, 16, err);
    }
    if (status == LAC_OK) {
        run_bits = (double)lac_huffman_bits(&tree, run_length) / (double)csc.entries;
        compute(to, TABLE_CODING, "fc8", "weight bits, Huffman", "bits", 4, code_bits, FROM_MEMORY,
                "the paper's codes have 5 bits, this layer's 4");
        compute(to, TABLE_CODING, "fc8", "index bits, Huffman", "bits", 3.2, run_bits, FROM_MEMORY,
                "interleaved over 64 PEs");
    }
    lac_eie_csc_release(&csc);
    return status;
}

static lac_status real_layer(const printer *to, const lac_params *params, const char *folder,
                             lac_error *err)
{
    static const struct {
        const char *fifo;
        double paper;
        const char *note;
    } depths[] = {{"2", 0.5, "\"about 0.5\" at depth 1 = a ring of 2; synthetic 1024x1024: 0.41"},
                  {"8", NAN, "the depth of the time table"},
                  {"16", NAN, "little gain beyond 8"}};
    lac_layer layer;
    lac_params with = *params;
    double theory, actual;
    int64_t cycles = 0;
    char note[96];
    LAC_TRY(lac_params_set(&with, "bias", "1", err));
    LAC_TRY(lac_eie_fc8_load(&layer, folder, err));
    lac_status status = run(&layer, &with, &theory, &actual, &cycles, err);
    if (status == LAC_OK) {
        snprintf(note, sizeof note, "the authors' layer and input, bias=1: %lld cycles",
                 (long long)cycles);
        print(to, TABLE_TIME, "Alex-8, real data", "theoretical_us", "us", 8.9, theory, FROM_MEMORY,
              "(macs + pad) / PEs / clock");
        print(to, TABLE_TIME, "Alex-8, real data", "time_us", "us", 9.9, actual, FROM_MEMORY, note);
    }
    for (size_t i = 0; i < sizeof depths / sizeof *depths && status == LAC_OK; i++) {
        lac_params deep = with;
        char name[32];
        snprintf(name, sizeof name, "Alex-8, real data, ring of %s", depths[i].fifo);
        status = lac_params_set(&deep, "fifo", depths[i].fifo, err);
        if (status == LAC_OK)
            status = run(&layer, &deep, &theory, &actual, &cycles, err);
        if (status == LAC_OK)
            print(to, "EIE Figure 8", name, "load-balance efficiency", "", depths[i].paper,
                  theory / actual, isnan(depths[i].paper) ? "not published" : "published",
                  depths[i].note);
    }
    if (status == LAC_OK)
        status = coding(to, &layer, err);
    lac_layer_release(&layer);
    return status;
}

static double geometric_mean(const double *actual, int peer)
{
    double sum = 0;
    for (int i = 0; i < LAYERS; i++) {
        double time = peer == 0   ? published[i].cpu
                      : peer == 1 ? published[i].gpu
                                  : published[i].mobile;
        sum += log(time / actual[i]);
    }
    return exp(sum / LAYERS);
}

static void totals(const printer *to, const lac_params *params, const times *us)
{
    const double *actual = us->actual;
    int64_t pe = lac_params_int(params, "pe");
    double clock = lac_params_real(params, "clk");
    compute(to, "EIE abstract", "peak", "GOP/s", "GOP/s", 102, (double)pe * 2 * clock / 1000,
            "published", "64 PEs * 2 operations * 0.8 GHz, on the compressed layer");
    compute(to, "EIE abstract", "64 PEs", "power_W", "W", 0.6, lac_eie_power_mw(pe) / 1000,
            "published", "64 * 9.157 mW + 21 LNZD nodes * 0.023 mW (table of one PE, from memory)");
    compute(to, TABLE_COMPARED, "64 PEs", "power_W", "W", 0.59, lac_eie_power_mw(pe) / 1000,
            FROM_MEMORY, "45 nm");
    compute(to, TABLE_COMPARED, "64 PEs", "area_mm2", "mm2", 40.8, lac_eie_area_mm2(pe),
            FROM_MEMORY, "64 * 0.638024 mm2 + 21 * 0.000189 mm2 (table of one PE, from memory)");
    print(to, "EIE abstract", "AlexNet FC6+7+8", "frames/s", "frames/s", 1.88e4,
          1e6 / (actual[0] + actual[1] + actual[2]), "published",
          "1 / sum of the synthetic times; the paper's own rows give 19,080");
    print(to, TABLE_COMPARED, "Alex-7", "products/s", "products/s", 81967, 1e6 / actual[1],
          FROM_MEMORY, "1 / time; the paper's figure is 1 / 12.2 us");
    print(to, TABLE_COMPARED, "28 nm, 256 PEs, 1.2 GHz", "Alex-7 products/s", "products/s", 426230,
          1e6 / us->projected, FROM_MEMORY,
          "cycles of the same model; power and area of 28 nm are not modelled");
    static const char *const peers[] = {"CPU", "GPU", "mobile GPU"};
    static const double speedup[] = {189, 13, 307};
    for (int peer = 0; peer < 3; peer++)
        print(to, peer < 2 ? "EIE abstract" : "EIE, speed-up figure", peers[peer],
              "speed-up over dense, batch 1", "x", speedup[peer], geometric_mean(actual, peer),
              peer < 2 ? "published" : FROM_MEMORY,
              "geometric mean of nine: the paper's times of the peer over ours");
}

lac_status lac_eie_reproduce(const lac_params *params, const char *data_dir,
                             void (*row)(void *context, const struct lac_reproduced *row),
                             void *context, lac_error *err)
{
    printer to = {row, context};
    times us;
    char folder[4096], file[4200];
    if (data_dir) { /* known before the long work */
        snprintf(folder, sizeof folder, "%s/eie_fc8", data_dir);
        snprintf(file, sizeof file, "%s/entries.npy", folder);
        if (access(file, R_OK) != 0)
            return lac_fail(err, LAC_ERROR_IO,
                            "--data %s: %s: %s; want the folder that holds eie_fc8/, or leave "
                            "--data out: the row \"real data\" is then not run",
                            data_dir, file, strerror(errno));
    }
    LAC_TRY(nine_layers(&to, params, &us, err));
    totals(&to, params, &us);
    if (data_dir)
        return real_layer(&to, params, folder, err);
    print(&to, TABLE_TIME, "Alex-8, real data", "time_us", "us", 9.9, NAN, FROM_MEMORY,
          "not run: needs the data set eie_fc8, --data DIR");
    return LAC_OK;
}
