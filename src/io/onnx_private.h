/* Shared by the ONNX reader and writer. */
#ifndef LACUNA_IO_ONNX_PRIVATE_H
#define LACUNA_IO_ONNX_PRIVATE_H

#include <lacuna/core.h>
#include <lacuna/graph.h>
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

/* Makes n names distinct and not empty, for values that passes and nodes that files call the same:
 * the first keeps its name. The results live in the arena. */
lac_status lac_onnx_unique_names(struct lac_arena *arena, int n, char **names, lac_error *err);

/* ---- writing: messages made in an arena, borrowing tensors' bytes ---------------------------- */

/* Where the parts of one graph go: its values' names in the file (unique, never empty). */
typedef struct lac_onnx_scope {
    const lac_graph *graph;
    struct lac_arena *arena;
    char **names; /* by value number */
} lac_onnx_scope;

lac_status lac_onnx_scope_make(lac_onnx_scope *scope, const lac_graph *graph,
                               struct lac_arena *arena, lac_error *err);
lac_status lac_onnx_put_tensor(const lac_onnx_scope *scope, const char *name,
                               const lac_tensor *tensor, Onnx__TensorProto **proto, lac_error *err);
/* Name, element type and shape as far as they are known. */
lac_status lac_onnx_put_type(const lac_onnx_scope *scope, int value, Onnx__ValueInfoProto **proto,
                             lac_error *err);
/* `op` is the name in the file: that of the node, or of the function that spells it. */
lac_status lac_onnx_put_node(const lac_onnx_scope *scope, const lac_node *node, const char *op,
                             Onnx__NodeProto **proto, lac_error *err);
lac_status lac_onnx_put_opset(const lac_onnx_scope *scope, const char *domain, int64_t version,
                              Onnx__OperatorSetIdProto **proto, lac_error *err);
/* Two-word entries: metadata, external data. */
lac_status lac_onnx_put_entry(const lac_onnx_scope *scope, const char *key, const char *text,
                              Onnx__StringStringEntryProto **proto, lac_error *err);

/* The functions of a file: one for each distinct body among the graph's lacuna.Unpack nodes. */
typedef struct lac_onnx_functions {
    int n;
    Onnx__FunctionProto **list;
    char **key;         /* what distinguishes a body */
    lac_graph **bodies; /* whose tensors the messages borrow */
} lac_onnx_functions;

bool lac_onnx_is_unpack(const lac_node *node);
/* The function for `node`, made when it is the first of its kind: its name in the file. */
lac_status lac_onnx_unpack_function(lac_onnx_functions *functions, const lac_onnx_scope *scope,
                                    const lac_node *node, const char **name, lac_error *err);
void lac_onnx_functions_release(lac_onnx_functions *functions);

#endif
