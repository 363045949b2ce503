/* What this build is made of. */
#include <lacuna/lacuna.h>

static const struct {
    const char *part, *state;
} parts[] = {
#include "parts.inc"
};

const char *lac_version(void)
{
    return LAC_VERSION_STRING;
}

bool lac_version_part(int index, const char **part, const char **state)
{
    if (index < 0 || (size_t)index >= sizeof parts / sizeof *parts)
        return false;
    *part = parts[index].part;
    *state = parts[index].state;
    return true;
}
