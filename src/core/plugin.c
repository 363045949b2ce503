/* A plug-in is a shared object with one entry that registers rows. */
#include <dlfcn.h>
#include <lacuna/core.h>
#include <string.h>

lac_status lac_plugin_open(const char *path, lac_error *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return lac_fail_in(err, lac_fail(err, LAC_ERROR_IO, "%s", dlerror()), "%s", path);
    lac_status (*load)(lac_error *);
    void *symbol = dlsym(library, "lac_plugin_load");
    if (!symbol) {
        dlclose(library);
        return lac_fail(err, LAC_ERROR_INPUT, "%s: no function lac_plugin_load", path);
    }
    memcpy(&load, &symbol, sizeof load); /* ISO C has no cast from object to function pointer */
    lac_status status = load(err);
    if (status != LAC_OK) /* rows may be registered already: the object stays loaded */
        return lac_fail_in(err, status, "%s", path);
    return LAC_OK;
}
