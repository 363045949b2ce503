/* See export.h. */
#include "study/export.h"

#include "core/text.h"
#include "io/dcz.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static bool in_columns(const lac_weight *weight)
{
    return weight->format && strcmp(weight->format->row.name, LAC_EIE_CSC_NAME) == 0 &&
           !weight->scale;
}

static lac_status export_weight(const lac_weight *weight, const char *folder, int64_t *bytes,
                                lac_error *err)
{
    lac_packed packed;
    lac_dcz dcz;
    lac_text path = {0}, file = {0};
    LAC_TRY(lac_pack(&packed, weight->format, &weight->params, weight->view, &weight->tensor, err));
    lac_status status = lac_dcz_from_packed(&dcz, &packed, NULL, true, err);
    lac_packed_release(&packed);
    LAC_TRY(status);
    status = lac_dcz_format(&dcz, &file, err);
    lac_dcz_release(&dcz);
    lac_text_add(&path, "%s/", folder);
    size_t begin = path.length;
    lac_text_add(&path, "%s", weight->name);
    for (size_t i = begin; path.data && i < path.length; i++) /* a node's name may be a path */
        if (path.data[i] == '/')
            path.data[i] = '_';
    lac_text_add(&path, ".dcz");
    if (status == LAC_OK && (path.failed || file.failed))
        status = lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    if (status == LAC_OK)
        status = lac_write_file(path.data, file.data, file.length, err);
    *bytes += (int64_t)file.length;
    lac_text_release(&path);
    lac_text_release(&file);
    return status;
}

lac_status lac_export_dcz(const lac_compression *compression, const char *folder, int *files,
                          int64_t *bytes, lac_error *err)
{
    *files = 0;
    *bytes = 0;
    for (int i = 0; i < compression->n_weights; i++)
        *files += in_columns(&compression->weights[i]);
    if (*files == 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "no weight is stored as %s: .dcz goes with the scheme deep-compression",
                        LAC_EIE_CSC_NAME);
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return lac_fail(err, LAC_ERROR_IO, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < compression->n_weights; i++)
        if (in_columns(&compression->weights[i])) {
            lac_status status = export_weight(&compression->weights[i], folder, bytes, err);
            if (status != LAC_OK)
                return lac_fail_in(err, status, "%s", compression->weights[i].name);
        }
    return LAC_OK;
}
