/* The pool is OpenMP's, because the dense library uses it too: one set of threads, no
 * oversubscription. Without OpenMP (the fuzzing build) the loop is sequential. */
#include "core/parallel.h"

#include <lacuna/lacuna.h>

#include <stdlib.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

void lac_threads_set(int threads)
{
#ifdef _OPENMP
    omp_set_num_threads(threads > 0 ? threads : omp_get_num_procs());
#else
    (void)threads;
#endif
}

int lac_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

int lac_parallel_width(void)
{
    return lac_threads();
}

void lac_threads_calm(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    /* some 15 us: the gap between two parallel loops of a network */
    if (setenv("GOMP_SPINCOUNT", "1000", 0) == 0)
        execv("/proc/self/exe", argv); /* returns only when it fails: then all stays as it was */
}

void lac_parallel_for(int64_t count, int64_t grain,
                      void (*body)(void *context, int64_t begin, int64_t end), void *context)
{
    if (count <= 0)
        return;
    if (grain < 1)
        grain = 1;
#ifdef _OPENMP
    int64_t parts = (count + grain - 1) / grain;
    int threads = lac_threads();
    if (parts > threads)
        parts = threads;
    if (parts > 1 && !omp_in_parallel()) {
#pragma omp parallel for schedule(static, 1) num_threads((int)parts)
        for (int64_t part = 0; part < parts; part++)
            body(context, count * part / parts, count * (part + 1) / parts);
        return;
    }
#endif
    body(context, 0, count);
}
