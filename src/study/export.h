/* Files for other programs: what a compression can be written as beside ONNX, tensors, captured
 * layers. */
#ifndef LACUNA_STUDY_EXPORT_H
#define LACUNA_STUDY_EXPORT_H

#include "io/aside.h"

#include <lacuna/scheme.h>

/* One Huffman-coded .dcz per weight that a scheme stored in EIE's columns, into `folder` (made when
 * absent), named after the layer; all of them, or none. *files and *bytes say what was written.
 * LAC_ERROR_INPUT: no weight is stored so. */
lac_status lac_export_dcz(const lac_compression *compression, const char *folder, int *files,
                          int64_t *bytes, lac_error *err);

/* Makes the folder unless it is there; *made: it was not. Call it just before the first write, and
 * rmdir what was made when the writing fails: an error leaves nothing behind. */
lac_status lac_export_folder(const char *folder, bool *made, lac_error *err);

/* `tensor` as FOLDER/NAME.npy, one more file of `set`; characters of `name` outside [A-Za-z0-9._-]
 * become _. */
lac_status lac_export_npy(lac_aside_set *set, const char *folder, const char *name,
                          const lac_tensor *tensor, lac_error *err);

/* Runs the graph once and writes every layer that it meets into `folder` (made when absent): each
 * operand as NNN.ROLE.npy in the plain order of lacuna/layer.h, weights as float32, and layers.json
 * with names, kinds, dims and scales. All files appear, or none. *layers: how many. */
lac_status lac_export_layers(const lac_graph *graph, const lac_tensor *in, const char *folder,
                             int *layers, lac_error *err);

#endif
