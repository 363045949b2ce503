/* Published figures (dossier section 6) beside what this model can and cannot say about them, and
 * the model's own shape "speedup against N:M" for a BERT-base layer. */
#include "accel/sta/sta.h"

#include <math.h>
#include <stdio.h>

static const struct lac_reproduced published[] = {
    {"STA abstract", "over Intel i9-9900X", "speedup", 14.47, NAN, "published",
     "their CPU time is unknown; compare simulated milliseconds with a measured CPU yourself"},
    {"STA abstract", "over RTX 2080 Ti", "speedup", 11.33, NAN, "published",
     "their GPU time is unknown"},
    {"STA abstract", "over earlier FPGA accelerators, least", "speedup", 2.00, NAN, "published",
     "their platforms are not available"},
    {"STA abstract", "over earlier FPGA accelerators, most", "speedup", 19.47, NAN, "published",
     "their platforms are not available"},
    {"STA abstract", "IDP over other N:M methods, average", "accuracy_points", 6.7, NAN,
     "published", "needs their training runs; direction only on small tasks"},
    {"STA ISCAS 2022 abstract", "over earlier FPGA work, most", "energy_efficiency", 12.28, NAN,
     "published", "no power figure is available"},
    {"STA ISCAS 2022 abstract", "over earlier FPGA work, most", "mac_efficiency", 51.00, NAN,
     "published", "their platforms are not available"},
    {"FNM-Trans abstract", "over the same CPU", "speedup", 27.13, NAN, "published",
     "successor on the same CPU run: 27.13 / 14.47 = 1.875"},
    {"FNM-Trans abstract", "over the same GPU", "speedup", 21.24, NAN, "published",
     "successor on the same GPU run: 21.24 / 11.33 = 1.875"},
    {"FNM-Trans abstract", "over FPGA works, least", "speedup", 1.88, NAN, "published",
     "agrees with STA being its closest FPGA competitor"},
    {"FNM-Trans abstract", "over FPGA works, most", "speedup", 36.51, NAN, "published",
     "their platforms are not available"},
    {"SR-STE model table", "ResNet-50 ImageNet 2:4", "top1", 77.0, NAN, "published",
     "reference row: ImageNet training"},
    {"SR-STE model table", "ResNet-50 ImageNet 4:8", "top1", 77.4, NAN, "published",
     "reference row: ImageNet training"},
    {"SR-STE model table", "ResNet-50 ImageNet 2:8", "top1", 76.4, NAN, "published",
     "reference row: ImageNet training"},
    {"SR-STE model table", "ResNet-50 ImageNet 1:4", "top1", 75.9, NAN, "published",
     "reference row: ImageNet training"},
    {"SR-STE model table", "ResNet-18 ImageNet 2:4", "top1", 71.2, NAN, "published",
     "reference row: ImageNet training"},
    {"DominoSearch README", "ResNet-50 ImageNet 80 % sparse", "top1", 76.7, NAN, "published",
     "reference row: ImageNet training"},
    {"DominoSearch README", "ResNet-50 ImageNet 87.5 % sparse", "top1", 75.7, NAN, "published",
     "reference row: ImageNet training"},
    {"DominoSearch README", "ResNet-50 ImageNet 93.75 % sparse", "top1", 73.5, NAN, "published",
     "reference row: ImageNet training"},
    {"nmSPARSE abstract", "A100, SpMV, most", "speedup", 5.2, NAN, "published",
     "reference row: another machine"},
    {"nmSPARSE abstract", "A100, SpMM, most", "speedup", 6.0, NAN, "published",
     "reference row: another machine"},
    {"VENOM abstract", "over cuBLAS, most", "speedup", 37, NAN, "published",
     "reference row: another machine"},
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
        row(context,
            &(struct lac_reproduced){
                "model", name, "speedup", NAN, (double)dense.cycles / (double)sparse.cycles,
                "derived",
                "the model's own shape, all parameters assumed; STA publishes no such row"});
    }
    row(context,
        &(struct lac_reproduced){"model", "BERT-base layer, 128 tokens, 1:1", "time_ms", NAN,
                                 (double)dense.cycles / (lac_params_real(params, "clock") * 1000),
                                 "derived", "simulated at the assumed clock"});
    return LAC_OK;
}
