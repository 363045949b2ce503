/* How long the sta simulator takes: the schedule of a 12-layer BERT-base encoder (limit 50 ms) and
 * one layer with all its numbers (limit 1 s), each on one core, best of five. */
#include "core/clock.h"

#include <lacuna/accel.h>
#include <lacuna/lacuna.h>

#include <stdio.h>
#include <string.h>

static int measure(const char *what, const char *text, const char *wd, lac_sim_options options,
                   double limit)
{
    const lac_accel *accel = (const lac_accel *)lac_table_find(&lac_accels, "sta");
    double best = 1e9;
    lac_error err;
    lac_layer layer;
    lac_result result;
    lac_status status = lac_layer_parse(&layer, text, &err);
    if (status == LAC_OK && strcmp(wd, "") != 0)
        status = lac_operand_pattern(&layer.operand[LAC_ROLE_WEIGHTS], wd, &err);
    layer.seed = 1;
    if (status == LAC_OK && !options.schedule_only)
        status = layer.kind->generate(&layer, &err);
    for (int i = 0; i < 5 && status == LAC_OK; i++) {
        double start = lac_seconds();
        status = lac_simulate(accel, &layer, NULL, &options, &result, &err);
        double seconds = lac_seconds() - start;
        best = seconds < best ? seconds : best;
        if (status == LAC_OK)
            lac_result_release(&result);
    }
    if (status != LAC_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%-44s %9.3f ms   limit %6.0f ms   %s\n", what, best * 1e3, limit * 1e3,
           best < limit ? "ok" : "TOO SLOW");
    lac_layer_release(&layer);
    return best >= limit;
}

int main(void)
{
    const lac_sim_options schedule = {.schedule_only = true}, numbers = {.no_check = true};
    const lac_sim_options checked = {0};
    const char *one = "encoder:tokens=128,dim=768,heads=12,ffn=3072";
    lac_threads_set(1);
    int slow =
        measure("schedule, 12 layers of BERT-base, 2:8",
                "encoder:tokens=128,dim=768,heads=12,ffn=3072,layers=12", "2:8", schedule, 0.05);
    slow |= measure("numbers, E1 (one layer, 2:8)", one, "2:8", numbers, 1);
    slow |= measure("numbers and reference, E1", one, "2:8", checked, 1);
    slow |= measure("numbers and reference, E2 (dense)", one, "1:1", checked, 1);
    slow |=
        measure("deit_tiny linear, 197 x 768 x 192", "gemm:m=197,n=768,k=192", "2:4", checked, 1);
    slow |= measure("deit_tiny attention", "attention:heads=3,tokens=197,dim=64", "", checked, 1);
    return slow;
}
