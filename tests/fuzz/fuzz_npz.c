/* Any bytes as an .npz archive. */
#include "io/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lac_status visit(void *context, const char *name, const lac_tensor *tensor, lac_error *err)
{
    (void)err;
    *(int64_t *)context += lac_tensor_count(tensor) + (name[0] != 0);
    return LAC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lac_error err;
    int64_t seen = 0;
    (void)lac_npz_parse(data, size, visit, &seen, &err);
    return 0;
}
