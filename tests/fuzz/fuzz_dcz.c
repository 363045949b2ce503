/* Any bytes as a .dcz file: refused, or a layer that writes and reads back as itself. The same
 * bytes as a .net file of two layers: refused or read. */
#include <stdlib.h>
#include <string.h>

#include "io/dcz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lac_dcz dcz, again;
    lac_text out = {0};
    if (lac_dcz_parse(&dcz, data, size, "fuzz", NULL) == LAC_OK) {
        lac_tensor matrix;
        if (lac_dcz_format(&dcz, &out, NULL) != LAC_OK ||
            lac_dcz_parse(&again, out.data, out.length, "again", NULL) != LAC_OK ||
            again.csc.nonzeros != dcz.csc.nonzeros)
            abort();
        if (dcz.csc.rows <= 4096 && dcz.csc.rows * dcz.csc.cols < 1 << 22 &&
            lac_dcz_matrix(&dcz, &matrix, NULL) == LAC_OK)
            lac_tensor_release(&matrix);
        lac_dcz_release(&again);
        lac_dcz_release(&dcz);
        lac_text_release(&out);
    }
    lac_net_layer layer[2] = {{.rank = 4, .dims = {2, 3, 1, 1}, .conv = true},
                              {.rank = 2, .dims = {1, 64}}};
    if (lac_net_parse(layer, 2, data, size, "fuzz", NULL) == LAC_OK)
        for (int i = 0; i < 2; i++) {
            lac_tensor_release(&layer[i].weights);
            lac_tensor_release(&layer[i].bias);
        }
    return 0;
}
