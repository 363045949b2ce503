/* What a compression can be written as, beside ONNX. */
#ifndef LACUNA_STUDY_EXPORT_H
#define LACUNA_STUDY_EXPORT_H

#include <lacuna/scheme.h>

/* One Huffman-coded .dcz per weight that a scheme stored in EIE's columns, into `folder` (made when
 * absent), named after the layer. *files and *bytes say what was written. LAC_ERROR_INPUT: no
 * weight is stored so. */
lac_status lac_export_dcz(const lac_compression *compression, const char *folder, int *files,
                          int64_t *bytes, lac_error *err);

#endif
