/* The accelerator that the user names, with --arch and --set applied. */
#include "cli/command.h"
#include "io/arch.h"

lac_status read_accel(const cli_arguments *arguments, const char *name, const lac_accel **accel,
                      lac_params *params, lac_error *err)
{
    const char *arch = option_value(arguments, "arch", 0), *item;
    *accel = (const lac_accel *)lac_table_find(&lac_accels, name);
    if (!*accel)
        return lac_fail(err, LAC_ERROR_INPUT, "unknown accelerator '%s': see 'lacuna accel list'",
                        name);
    lac_params_init(params, (*accel)->params);
    if (arch)
        LAC_TRY(lac_arch_load(params, arch, err));
    for (int i = 0; (item = option_value(arguments, "set", i)); i++) {
        lac_status status = lac_params_parse(params, item, err);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "%s", name);
    }
    return LAC_OK;
}
