/* Shared by the ONNX reader and writer. */
#ifndef LACUNA_IO_ONNX_PRIVATE_H
#define LACUNA_IO_ONNX_PRIVATE_H

#include <lacuna/core.h>
#include <onnx/onnx.pb-c.h>

/* Standard opsets that are read; the schema is ONNX 1.12, whose newest is 17. */
enum { LAC_OPSET_MIN = 7, LAC_OPSET_MAX = 17 };

/* A TensorProto as a tensor with bytes of its own, or a mapped view of external data in `folder`
 * (NULL: external data is refused). */
lac_status lac_onnx_tensor(lac_tensor *tensor, const Onnx__TensorProto *proto, const char *folder,
                           lac_error *err);
/* Refuses messages nested deeper than any honest model: the unpacker recurses. */
lac_status lac_onnx_check_depth(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                size_t bytes, lac_error *err);

#endif
