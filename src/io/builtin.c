/* The model files as they lie in data/, put into the program by the assembler. */
#include "io/builtin.h"

#define INCLUDE(symbol, path)                                                                      \
    __asm__(".section .rodata\n"                                                                   \
            ".balign 64\n" #symbol ":\n"                                                           \
            ".incbin \"" path "\"\n" #symbol "_end:\n"                                             \
            ".balign 64\n"                                                                         \
            ".previous\n");                                                                        \
    extern const unsigned char symbol[] __attribute__((visibility("hidden")));                     \
    extern const unsigned char symbol##_end[] __attribute__((visibility("hidden")))

INCLUDE(lac_glyph_vit, LACUNA_DATA_DIR "/glyph_vit.onnx");
INCLUDE(lac_glyph_mlp, LACUNA_DATA_DIR "/glyph_mlp.onnx");

const char *lac_builtin(int index, const void **data, size_t *bytes)
{
    switch (index) {
    case 0:
        *data = lac_glyph_vit;
        *bytes = (size_t)(lac_glyph_vit_end - lac_glyph_vit);
        return "glyph_vit";
    case 1:
        *data = lac_glyph_mlp;
        *bytes = (size_t)(lac_glyph_mlp_end - lac_glyph_mlp);
        return "glyph_mlp";
    default:
        return NULL;
    }
}
