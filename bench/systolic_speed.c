/* How long does `systolic` take for VGG-16? Prints milliseconds of the schedule without and with
 * zero-value clock gating (whose effectual count reads every operand), without making outputs. The
 * limit of the dossier: 50 ms and 500 ms; exit code 1 beyond. Usage: bench_systolic_speed [threads]
 */
#include "core/clock.h"

#include <lacuna/accel.h>
#include <lacuna/lacuna.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const vgg16[] = {"conv:c=3,h=224,w=224,k=64,r=3,s=3,pad=1",
                                    "conv:c=64,h=224,w=224,k=64,r=3,s=3,pad=1",
                                    "conv:c=64,h=112,w=112,k=128,r=3,s=3,pad=1",
                                    "conv:c=128,h=112,w=112,k=128,r=3,s=3,pad=1",
                                    "conv:c=128,h=56,w=56,k=256,r=3,s=3,pad=1",
                                    "conv:c=256,h=56,w=56,k=256,r=3,s=3,pad=1",
                                    "conv:c=256,h=56,w=56,k=256,r=3,s=3,pad=1",
                                    "conv:c=256,h=28,w=28,k=512,r=3,s=3,pad=1",
                                    "conv:c=512,h=28,w=28,k=512,r=3,s=3,pad=1",
                                    "conv:c=512,h=28,w=28,k=512,r=3,s=3,pad=1",
                                    "conv:c=512,h=14,w=14,k=512,r=3,s=3,pad=1",
                                    "conv:c=512,h=14,w=14,k=512,r=3,s=3,pad=1",
                                    "conv:c=512,h=14,w=14,k=512,r=3,s=3,pad=1",
                                    "fc:in=25088,out=4096",
                                    "fc:in=4096,out=4096",
                                    "fc:in=4096,out=1000"};
enum { LAYERS = sizeof vgg16 / sizeof *vgg16 };

static void must(lac_status status, const lac_error *err)
{
    if (status == LAC_OK)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

int main(int argc, char **argv)
{
    static lac_layer layer[LAYERS];
    const lac_accel *accel = (const lac_accel *)lac_table_find(&lac_accels, "systolic");
    const char *const sets[] = {"zvcg=0", "zvcg=0,mem=dram", "zvcg=1", "zvcg=1,mem=dram"};
    lac_sim_options options = {.schedule_only = true};
    lac_error err;
    int slow = 0;
    lac_threads_set(argc > 1 ? atoi(argv[1]) : 1);
    for (int i = 0; i < LAYERS; i++) {
        must(lac_layer_parse(&layer[i], vgg16[i], &err), &err);
        must(lac_operand_pattern(&layer[i].operand[LAC_ROLE_WEIGHTS], "0.5", &err), &err);
        must(lac_operand_pattern(&layer[i].operand[LAC_ROLE_ACTIVATIONS], "0.5", &err), &err);
        layer[i].seed = (uint64_t)i;
        must(layer[i].kind->generate(&layer[i], &err), &err);
    }
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        lac_params params;
        double best = 1e30;
        int64_t cycles = 0, macs = 0;
        bool data = strstr(sets[s], "zvcg=1") != NULL;
        lac_params_init(&params, accel->params);
        must(lac_params_parse(&params, sets[s], &err), &err);
        for (int repeat = 0; repeat < 5; repeat++) {
            double start = lac_seconds();
            cycles = macs = 0;
            for (int i = 0; i < LAYERS; i++) {
                lac_result result;
                lac_layer shape;
                if (!data) /* shapes only: without gating nothing depends on the data */
                    must(lac_layer_parse(&shape, vgg16[i], &err), &err);
                must(lac_simulate(accel, data ? &layer[i] : &shape, &params, &options, &result,
                                  &err),
                     &err);
                cycles += result.cycles;
                macs += result.macs;
                lac_result_release(&result);
            }
            double spent = 1e3 * (lac_seconds() - start);
            best = spent < best ? spent : best;
        }
        double limit = data ? 500 : 50;
        slow |= best >= limit;
        printf("VGG-16 %-16s %8.2f ms   limit %3.0f ms   %s  (%lld cycles, %.2f G "
               "multiply-accumulates)\n",
               sets[s], best, limit, best < limit ? "ok" : "TOO SLOW", (long long)cycles,
               (double)macs * 1e-9);
    }
    for (int i = 0; i < LAYERS; i++)
        lac_layer_release(&layer[i]);
    return slow;
}
