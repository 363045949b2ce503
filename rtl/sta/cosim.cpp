// Verilator's C++ class of one size of the engine behind the C interface of cosim.h. CMake compiles
// this file once per size: DMME_MODEL is the model's name, DMME_CLASS Verilator's class for it,
// DMME_HEADER the class's header, DMME_R ... DMME_Q its parameters.
#include "sta/cosim.h"

#include <algorithm>
#include <cstring>
#include <new>

#include DMME_HEADER

namespace
{

struct Engine {
    VerilatedContext context;
    DMME_CLASS top{&context};
    uint32_t y[DMME_C];
};

void *create()
{
    Engine *engine = new (std::nothrow) Engine;
    return engine;
}

void destroy(void *handle)
{
    delete static_cast<Engine *>(handle);
}

// The words have zeros behind the port's width, as Verilator wants. The check finds parameters
// other than those the class was made with.
template <std::size_t bits, typename Port> void put(Port &port, const uint32_t *words)
{
    static_assert(sizeof(Port) * 8 >= bits && sizeof(Port) * 8 < bits + 64, "width of a port");
    std::memcpy(&port, words, std::min(sizeof(Port), (bits + 31) / 32 * 4));
}

void step(void *handle, const dmme_in *in, dmme_out *out)
{
    Engine *engine = static_cast<Engine *>(handle);
    DMME_CLASS &top = engine->top;
    top.rst = in->rst;
    top.cfg_n = in->cfg_n;
    top.cfg_m = in->cfg_m;
    top.cfg_sparse = in->cfg_sparse;
    top.cfg_steps = in->cfg_steps;
    top.cfg_g = in->cfg_g;
    top.cfg_p = in->cfg_p;
    top.job_valid = in->job_valid;
    top.job_id = in->job_id;
    put<DMME_R * DMME_PA * 9>(top.a_data, in->a_data);
    put<DMME_C * DMME_L * DMME_MMAX>(top.b_data, in->b_data);
    put<DMME_C * DMME_L * 8>(top.v_data, in->v_data);
    top.clk = 0;
    top.eval();
    out->job_ready = top.job_ready;
    out->a_en = top.a_en;
    out->a_job = top.a_job;
    out->a_off = top.a_off;
    out->b_en = top.b_en;
    out->b_job = top.b_job;
    out->b_step = top.b_step;
    out->v_en = top.v_en;
    out->v_job = top.v_job;
    out->v_step = top.v_step;
    out->v_j = top.v_j;
    out->y_valid = top.y_valid;
    out->y_job = top.y_job;
    out->y_row = top.y_row;
    out->idle = top.idle;
    static_assert(sizeof top.y_data >= sizeof engine->y, "width of y_data");
    std::memcpy(engine->y, &top.y_data, sizeof engine->y);
    out->y_data = engine->y;
    top.clk = 1;
    top.eval();
}

} // namespace

extern "C" const dmme_model DMME_MODEL;
const dmme_model DMME_MODEL = {DMME_R, DMME_C, DMME_L, DMME_PA, DMME_MMAX,
                               DMME_Q, create, step,   destroy};
