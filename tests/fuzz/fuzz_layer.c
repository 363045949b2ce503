/* Layer texts and density patterns: any bytes parse or are refused; what parses prints and parses
 * back to the same layer. */
#include <lacuna/layer.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char input[512], text[512];
    lac_layer layer, again;
    lac_operand operand = {.density = -1};
    lac_error err;
    if (size >= sizeof input)
        return 0;
    memcpy(input, data, size);
    input[size] = '\0';
    if (lac_operand_pattern(&operand, input, &err) == LAC_OK &&
        !(operand.density >= 0 && operand.density <= 1))
        abort();
    if (lac_layer_parse(&layer, input, &err) != LAC_OK)
        return 0;
    lac_layer_text(&layer, text, sizeof text);
    if (lac_layer_parse(&again, text, &err) != LAC_OK ||
        memcmp(layer.dim, again.dim, sizeof layer.dim) != 0 || layer.kind->macs(&layer) < 0)
        abort();
    return 0;
}
