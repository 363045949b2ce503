/* LAC_CLONES before a function: the compiler makes it for several vector widths and picks at load
 * time. The body stays portable C, and since contraction and reassociation are off in this build
 * (-ffp-contract=off, no -ffast-math), every clone gives the same bits. Off under sanitizers,
 * which run before the picking is possible. */
#ifndef LACUNA_CORE_CLONES_H
#define LACUNA_CORE_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(LACUNA_NO_CLONES)
#define LAC_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define LAC_CLONES
#endif

#endif
