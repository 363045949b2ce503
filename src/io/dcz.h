/* The disk containers of Deep Compression: our own .dcz (one layer, optionally Huffman coded;
 * docs/formats/dcz.md) and the authors' public .net files (a whole network, read only). */
#ifndef LACUNA_IO_DCZ_H
#define LACUNA_IO_DCZ_H

#include <lacuna/core.h>
#include <lacuna/format.h>

#include "core/text.h"
#include "format/eie_csc.h"

typedef struct lac_dcz {
    lac_eie_csc csc; /* jump = 2^index_bits */
    int index_bits, code_bits;
    bool huffman;
    float *codebook; /* [2^code_bits], finite, element 0 is 0 */
    float *bias;     /* [rows] or NULL */
} lac_dcz;

/* Appends the bytes of a file to `out`. LAC_ERROR_UNSUPPORTED: a column of one PE has more than
 * 65,535 entries, or a size does not fit its field. */
lac_status lac_dcz_format(const lac_dcz *dcz, lac_text *out, lac_error *err);
/* Total: any bytes give a layer (to be released) or LAC_ERROR_INPUT; `name` is for messages. */
lac_status lac_dcz_parse(lac_dcz *dcz, const void *data, size_t bytes, const char *name,
                         lac_error *err);
lac_status lac_dcz_save(const lac_dcz *dcz, const char *path, lac_error *err);
lac_status lac_dcz_load(lac_dcz *dcz, const char *path, lac_error *err);
void lac_dcz_release(lac_dcz *dcz);

/* A float32 matrix in format eie-csc as a container (copies), and back; `bias` [rows] or NULL. */
lac_status lac_dcz_from_packed(lac_dcz *dcz, const lac_packed *packed, const float *bias,
                               bool huffman, lac_error *err);
/* The float32 matrix [rows][cols]; a new tensor. */
lac_status lac_dcz_matrix(const lac_dcz *dcz, lac_tensor *matrix, lac_error *err);

/* One layer of a .net file. The caller sets shape and kind, the reader the rest. */
typedef struct lac_net_layer {
    int rank;
    int64_t dims[4];           /* [out][in] or [out][in][kh][kw] */
    bool conv;                 /* 256 shared weights and codes of a byte; else 16 and 4 bits */
    int64_t entries, nonzeros; /* entries with padding; those with a code other than 0 */
    float codebook[256];
    lac_tensor weights, bias; /* float32, to be released */
} lac_net_layer;

/* Reads a whole .net file of `layers` layers in network order; it must end with the last one.
 * Total. On failure nothing needs to be released. */
lac_status lac_net_parse(lac_net_layer *layer, int layers, const void *data, size_t bytes,
                         const char *name, lac_error *err);
lac_status lac_net_load(lac_net_layer *layer, int layers, const char *path, lac_error *err);

#endif
