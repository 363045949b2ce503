/* Any bytes as an IDX file. */
#include "io/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lac_error err;
    lac_tensor tensor;
    if (lac_idx_parse(&tensor, data, size, &err) == LAC_OK) {
        int64_t count = lac_tensor_count(&tensor);
        if (count > 0)
            (void)lac_tensor_get(&tensor, count - 1);
        lac_tensor_release(&tensor);
    }
    return 0;
}
