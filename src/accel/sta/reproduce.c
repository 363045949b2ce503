/* Published figures (dossier section 6) beside what this model can and cannot say about them, and
 * the model's own shape "speedup against N:M" for a BERT-base layer. */
#include "accel/sta/sta.h"

#include <math.h>
#include <stdio.h>

#define ROW(table, row, metric, unit, paper, note)                                                 \
    {                                                                                              \
        table, row, metric, paper, NAN, "published", note, unit, "not run"                         \
    }
static const struct lac_reproduced published[] = {
    ROW("STA abstract", "over Intel i9-9900X", "speedup", "x", 14.47,
        "their CPU time is unknown; compare simulated milliseconds with a measured CPU yourself"),
    ROW("STA abstract", "over RTX 2080 Ti", "speedup", "x", 11.33, "their GPU time is unknown"),
    ROW("STA abstract", "over earlier FPGA accelerators, least", "speedup", "x", 2.00,
        "their platforms are not available"),
    ROW("STA abstract", "over earlier FPGA accelerators, most", "speedup", "x", 19.47,
        "their platforms are not available"),
    ROW("STA abstract", "IDP over other N:M methods, average", "accuracy_points", "points", 6.7,
        "needs their training runs; direction only on small tasks"),
    ROW("STA ISCAS 2022 abstract", "over earlier FPGA work, most", "energy_efficiency", "x", 12.28,
        "no power figure is available"),
    ROW("STA ISCAS 2022 abstract", "over earlier FPGA work, most", "mac_efficiency", "x", 51.00,
        "their platforms are not available"),
    ROW("FNM-Trans abstract", "over the same CPU", "speedup", "x", 27.13,
        "successor on the same CPU run: 27.13 / 14.47 = 1.875"),
    ROW("FNM-Trans abstract", "over the same GPU", "speedup", "x", 21.24,
        "successor on the same GPU run: 21.24 / 11.33 = 1.875"),
    ROW("FNM-Trans abstract", "over FPGA works, least", "speedup", "x", 1.88,
        "agrees with STA being its closest FPGA competitor"),
    ROW("FNM-Trans abstract", "over FPGA works, most", "speedup", "x", 36.51,
        "their platforms are not available"),
    ROW("SR-STE model table", "ResNet-50 ImageNet 2:4", "top1", "%", 77.0,
        "reference row: ImageNet training"),
    ROW("SR-STE model table", "ResNet-50 ImageNet 4:8", "top1", "%", 77.4,
        "reference row: ImageNet training"),
    ROW("SR-STE model table", "ResNet-50 ImageNet 2:8", "top1", "%", 76.4,
        "reference row: ImageNet training"),
    ROW("SR-STE model table", "ResNet-50 ImageNet 1:4", "top1", "%", 75.9,
        "reference row: ImageNet training"),
    ROW("SR-STE model table", "ResNet-18 ImageNet 2:4", "top1", "%", 71.2,
        "reference row: ImageNet training"),
    ROW("DominoSearch README", "ResNet-50 ImageNet 80 % sparse", "top1", "%", 76.7,
        "reference row: ImageNet training"),
    ROW("DominoSearch README", "ResNet-50 ImageNet 87.5 % sparse", "top1", "%", 75.7,
        "reference row: ImageNet training"),
    ROW("DominoSearch README", "ResNet-50 ImageNet 93.75 % sparse", "top1", "%", 73.5,
        "reference row: ImageNet training"),
    ROW("nmSPARSE abstract", "A100, SpMV, most", "speedup", "x", 5.2,
        "reference row: another machine"),
    ROW("nmSPARSE abstract", "A100, SpMM, most", "speedup", "x", 6.0,
        "reference row: another machine"),
    ROW("VENOM abstract", "over cuBLAS, most", "speedup", "x", 37,
        "reference row: another machine"),
};

static lac_status layer_cycles(const lac_sta_machine *machine, int n, int m, lac_sta_events *events,
                               lac_error *err)
{
    lac_sta_encoder shape = {.tokens = 128, .dim = 768, .heads = 12, .ffn = 3072, .layers = 1};
    for (int op = 0; op < 6; op++) {
        shape.n[op] = n;
        shape.m[op] = m;
    }
    *events = (lac_sta_events){0};
    return lac_sta_schedule_encoder(machine, &shape, events, err);
}

lac_status lac_sta_reproduce(const lac_params *params, const char *data_dir,
                             void (*row)(void *context, const struct lac_reproduced *row),
                             void *context, lac_error *err)
{
    static const int patterns[][2] = {{2, 4}, {2, 8}, {1, 8}, {1, 16}};
    lac_sta_machine machine = lac_sta_machine_of(params);
    lac_sta_events dense, sparse;
    (void)data_dir;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        row(context, &published[i]);
    LAC_TRY(layer_cycles(&machine, 1, 1, &dense, err));
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char name[64];
        LAC_TRY(layer_cycles(&machine, patterns[i][0], patterns[i][1], &sparse, err));
        snprintf(name, sizeof name, "BERT-base layer, 128 tokens, %d:%d over 1:1", patterns[i][0],
                 patterns[i][1]);
        row(context, &(struct lac_reproduced){
                         "model", name, "speedup", NAN,
                         (double)dense.cycles / (double)sparse.cycles, "derived",
                         "the model's own shape, all parameters assumed; STA publishes no such row",
                         "x", "simulated"});
    }
    row(context,
        &(struct lac_reproduced){"model", "BERT-base layer, 128 tokens, 1:1", "time_ms", NAN,
                                 (double)dense.cycles / (lac_params_real(params, "clock") * 1000),
                                 "derived", "at the assumed clock", "ms", "simulated"});
    return LAC_OK;
}
