/* Architecture files: any bytes give parameters within their limits, or are refused and change
 * nothing. */
#include "io/arch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const lac_param schema[] = {
    {"rows", LAC_PARAM_INT, "rows", 16, 1, 256, NULL, NULL, LAC_OPTION, "", ""},
    {"rate", LAC_PARAM_REAL, "", 0.5, 0, 1, NULL, NULL, LAC_OPTION, "", ""},
    {"flow", LAC_PARAM_CHOICE, "", 0, 0, 0, "ws", "ws|os|is", LAC_OPTION, "", ""},
    {"name", LAC_PARAM_TEXT, "", 0, 0, 0, "", NULL, LAC_OPTION, "", ""},
    {0}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lac_params params, before;
    lac_error err = {0};
    lac_params_init(&params, schema);
    before = params;
    if (lac_arch_parse(&params, data, size, &err) != LAC_OK) {
        if (memcmp(&params, &before, sizeof params) != 0 || !err.message[0] ||
            strchr(err.message, '\n'))
            abort();
        return 0;
    }
    const char *flow = lac_params_text(&params, "flow");
    if (!(lac_params_int(&params, "rows") >= 1 && lac_params_int(&params, "rows") <= 256) ||
        !(lac_params_real(&params, "rate") >= 0 && lac_params_real(&params, "rate") <= 1) ||
        (strcmp(flow, "ws") != 0 && strcmp(flow, "os") != 0 && strcmp(flow, "is") != 0))
        abort();
    return 0;
}
