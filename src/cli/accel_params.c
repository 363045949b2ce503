/* The accelerator that the user names, with --arch and --set applied. */
#include "cli/command.h"
#include "io/arch.h"
#include "study/simulate.h"

lac_status read_accel(const cli_arguments *arguments, const char *name, const lac_accel **accel,
                      lac_params *params, lac_error *err)
{
    const char *arch = option_value(arguments, "arch", 0), *item;
    lac_target target;
    LAC_TRY(lac_target_parse(&target, name, err));
    if (arch)
        LAC_TRY(lac_arch_load(&target.params, arch, err));
    for (int i = 0; (item = option_value(arguments, "set", i)); i++)
        LAC_TRY(lac_targets_set(&target, 1, item, err));
    *accel = target.accel;
    *params = target.params;
    return LAC_OK;
}
