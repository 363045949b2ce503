/* lacuna/plugin.h - rows from a shared object.
 *
 * A plug-in exports `lac_status lac_plugin_load(lac_error *err)`, which registers its rows with
 * lac_register_op, _layer_kind, _format, _kernel, _scheme, _accel. Load it with
 * `lacuna --plugin FILE.so ...` or lac_plugin_open. A row of another size or ABI number and a name
 * that the table already has are refused. */
#ifndef LACUNA_PLUGIN_H
#define LACUNA_PLUGIN_H

#include <lacuna/accel.h>
#include <lacuna/format.h>
#include <lacuna/kernel.h>
#include <lacuna/layer.h>
#include <lacuna/op.h>
#include <lacuna/scheme.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a plug-in defines. */
__attribute__((visibility("default"))) lac_status lac_plugin_load(lac_error *err);

#ifdef __cplusplus
}
#endif
#endif
