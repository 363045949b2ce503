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

<<<<<<< HEAD
/* What a plug-in defines. */
__attribute__((visibility("default"))) lac_status lac_plugin_load(lac_error *err);
=======
<<<<<<< HEAD
/* What a plug-in defines. */
__attribute__((visibility("default"))) lac_status lac_plugin_load(lac_error *err);
=======
/* `row` must live as long as the process. Layer kinds and accelerators: lac_register_layer_kind,
 * lac_register_accel, declared with their rows. */
LAC_API lac_status lac_register_op(const lac_op *row, lac_error *err);
LAC_API lac_status lac_register_format(const lac_format *row, lac_error *err);
LAC_API lac_status lac_register_kernel(const lac_kernel *row, lac_error *err);
LAC_API lac_status lac_register_scheme(const lac_scheme *row, lac_error *err);
>>>>>>> systolic
>>>>>>> opsa

#ifdef __cplusplus
}
#endif
#endif
