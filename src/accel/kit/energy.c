/* SRAM energy grows with the length of its lines, hence with the square root of its size. */
#include "accel/kit/energy.h"

#include <math.h>
#include <stddef.h>

double lac_sram_pj_per_byte(double kb)
{
    static const struct {
        double kb, pj;
    } point[] = {{8, 10}, {32, 20}, {1024, 100}};
    const size_t last = sizeof point / sizeof *point - 1;
    if (kb <= point[0].kb)
        return point[0].pj / 8;
    if (kb >= point[last].kb)
        return point[last].pj / 8;
    size_t i = 0;
    while (kb > point[i + 1].kb)
        i++;
    double low = sqrt(point[i].kb), high = sqrt(point[i + 1].kb);
    return (point[i].pj + (point[i + 1].pj - point[i].pj) * (sqrt(kb) - low) / (high - low)) / 8;
}
