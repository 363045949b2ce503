/* ONNX files, through protobuf-c. */
#ifndef LACUNA_IO_ONNX_H
#define LACUNA_IO_ONNX_H

#include <lacuna/graph.h>

/* A model in memory, as lac_onnx_load; `folder` is where external data may lie (NULL: refused). The
 * bytes are not needed afterwards. Errors do not name a file: the caller adds it. */
lac_status lac_onnx_parse(lac_graph **graph, const void *data, size_t bytes, const char *folder,
                          lac_error *err);
/* Bytes of the files that the initializers of the model at `path` name; 0: all is inside. For a
 * file that loads: locations are not checked again. */
lac_status lac_onnx_external_bytes(int64_t *bytes, const char *path, lac_error *err);
/* Whether `file` is the model at `path`, or holds some of its initializers: the same file on the
 * disk, whatever the names; false when there is no such file. For a model that loads. */
lac_status lac_onnx_is_part(bool *is_part, const char *path, const char *file, lac_error *err);
/* A serialised TensorProto (the standard's test data: input_0.pb). */
lac_status lac_onnx_tensor_load(lac_tensor *tensor, const char *path, lac_error *err);

#endif
