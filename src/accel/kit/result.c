/* Filling and reading results. Counts beyond the arrays are only counted: lac_simulate reports
 * them as the programming error they are. */
#include <lacuna/accel.h>

#include <string.h>

void lac_result_count(lac_result *result, const char *name, int64_t value)
{
    if (result->n_counters < LAC_MAX_COUNTERS)
        result->counter[result->n_counters] = (lac_counter){name, value};
    result->n_counters++;
}

void lac_result_stall(lac_result *result, const char *name, int64_t cycles)
{
    if (result->n_stalls < (int)(sizeof result->stall / sizeof *result->stall))
        result->stall[result->n_stalls] = (lac_counter){name, cycles};
    result->n_stalls++;
    lac_result_count(result, name, cycles);
}

void lac_result_energy(lac_result *result, const char *component, double pj, const char *source)
{
    if (result->n_energies < LAC_MAX_ENERGIES)
        result->energy[result->n_energies] = (lac_energy){component, pj, source};
    result->n_energies++;
}

int64_t lac_result_get(const lac_result *result, const char *counter)
{
    int count = result->n_counters < LAC_MAX_COUNTERS ? result->n_counters : LAC_MAX_COUNTERS;
    for (int i = 0; i < count; i++)
        if (strcmp(result->counter[i].name, counter) == 0)
            return result->counter[i].value;
    return INT64_MIN;
}

double lac_result_energy_pj(const lac_result *result)
{
    double sum = 0;
    for (int i = 0; i < result->n_energies && i < LAC_MAX_ENERGIES; i++)
        sum += result->energy[i].pj;
    return sum;
}

void lac_result_release(lac_result *result)
{
    lac_tensor_release(&result->output);
    for (int i = 0; i < (int)(sizeof result->tensor / sizeof *result->tensor); i++)
        lac_tensor_release(&result->tensor[i].tensor);
    memset(result, 0, sizeof *result);
}
