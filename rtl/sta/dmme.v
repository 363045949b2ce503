// The matrix engine of STA (DMME): R x C processing elements of L lanes, for N:M sparse weights and,
// with the selector bypassed, for dense ones. A job is one tile: R activation rows times C outputs
// over the whole reduction. Buffers are outside: each read port answers one cycle after its enable,
// and what a data port shows at any other time is ignored.
//
//   job -> ctrl --a_*--> row banks --> gather, window (one a row) -----+
//            |----b_*--> bitmaps ----> nes (one a column and lane) ----+-> pe (R x C) -> drain -> y
//            +----v_*--> values ---------------------------------------+
//
// Limits: 1 <= N <= M <= MMAX <= 31, S >= 1, S*L*M <= 65536, S < 65536, R <= 256 and
// G = ceil(L*M/PA) <= 7. No port holds back y.
module dmme #(
    parameter R    = 16, // rows: tokens of a tile
    parameter C    = 16, // columns: outputs of a tile
    parameter L    = 4,  // lanes: groups of M that a step consumes
    parameter PA   = 32, // elements a row bank delivers per cycle, from any offset
    parameter MMAX = 16, // widest group
    parameter Q    = 4   // stages of the output path
) (
    input  wire                  clk,
    input  wire                  rst, // synchronous; clears what is valid, no data
    // the offered tile; cfg_* are sampled when it is accepted
    input  wire [4:0]            cfg_n,
    input  wire [4:0]            cfg_m,
    input  wire                  cfg_sparse,
    input  wire [15:0]           cfg_steps, // S
    input  wire [2:0]            cfg_g,     // G, fetches of a step
    input  wire [4:0]            cfg_p,     // P = max(N, G), cycles of a step
    input  wire                  job_valid,
    output wire                  job_ready,
    input  wire [31:0]           job_id,
    // activations: element p of row r at (r*PA + p)*9
    output wire                  a_en,
    output wire [31:0]           a_job,
    output wire [15:0]           a_off,
    input  wire [R*PA*9-1:0]     a_data,
    // bitmaps: element i of the group of (c, l) at (c*L + l)*MMAX + i
    output wire                  b_en,
    output wire [31:0]           b_job,
    output wire [15:0]           b_step,
    input  wire [C*L*MMAX-1:0]   b_data,
    // values: kept element v_j of the group of (c, l) at (c*L + l)*8
    output wire                  v_en,
    output wire [31:0]           v_job,
    output wire [15:0]           v_step,
    output wire [4:0]            v_j,
    input  wire [C*L*8-1:0]      v_data,
    // one drained row: column c at c*32
    output wire                  y_valid,
    output wire [31:0]           y_job,
    output wire [7:0]            y_row,
    output wire [C*32-1:0]       y_data,
    output wire                  idle
);
    wire                    window_en, window_last, select_en, select_sparse;
    wire [4:0]              window_m;
    wire [2:0]              window_g;
    wire                    acc_en, acc_first, acc_last;
    wire [31:0]             acc_job;
    wire                    ctrl_busy, drain_busy;
    wire [L*MMAX-1:0]       take;
    wire [L*MMAX*16-1:0]    from;
    wire [R*L*MMAX*9-1:0]   window;
    wire [C*L*5-1:0]        index;
    wire [R*C*32-1:0]       shadow;

    assign idle = ~(ctrl_busy | drain_busy);

    ctrl #(.R(R), .L(L), .PA(PA), .MMAX(MMAX)) control (
        .clk(clk), .rst(rst),
        .cfg_n(cfg_n), .cfg_m(cfg_m), .cfg_sparse(cfg_sparse), .cfg_steps(cfg_steps),
        .cfg_g(cfg_g), .cfg_p(cfg_p),
        .job_valid(job_valid), .job_ready(job_ready), .job_id(job_id),
        .a_en(a_en), .a_job(a_job), .a_off(a_off),
        .b_en(b_en), .b_job(b_job), .b_step(b_step),
        .v_en(v_en), .v_job(v_job), .v_step(v_step), .v_j(v_j),
        .window_en(window_en), .window_m(window_m), .window_g(window_g),
        .window_last(window_last),
        .select_en(select_en), .select_sparse(select_sparse),
        .acc_en(acc_en), .acc_first(acc_first), .acc_last(acc_last), .acc_job(acc_job),
        .busy(ctrl_busy));

    gather #(.L(L), .PA(PA), .MMAX(MMAX)) places (
        .m(window_m), .g(window_g), .take(take), .from(from));

    genvar r, c, l;
    generate
        for (r = 0; r < R; r = r + 1) begin : row
            window #(.L(L), .PA(PA), .MMAX(MMAX)) registers (
                .clk(clk), .en(window_en), .last(window_last), .take(take), .from(from),
                .data(a_data[r*PA*9 +: PA*9]), .active(window[r*L*MMAX*9 +: L*MMAX*9]));
            for (c = 0; c < C; c = c + 1) begin : column
                pe #(.L(L), .MMAX(MMAX)) element (
                    .clk(clk), .window(window[r*L*MMAX*9 +: L*MMAX*9]),
                    .index(index[c*L*5 +: L*5]), .value(v_data[c*L*8 +: L*8]),
                    .acc_en(acc_en), .acc_first(acc_first), .acc_last(acc_last),
                    .shadow(shadow[(r*C + c)*32 +: 32]));
            end
        end
        for (c = 0; c < C; c = c + 1) begin : selectors
            for (l = 0; l < L; l = l + 1) begin : lane
                // The window's last word and the step's bitmaps arrive together.
                nes #(.MMAX(MMAX)) selector (
                    .clk(clk), .load(window_last), .bitmap(b_data[(c*L + l)*MMAX +: MMAX]),
                    .next(select_en), .sparse(select_sparse), .index(index[(c*L + l)*5 +: 5]));
            end
        end
    endgenerate

    drain #(.R(R), .C(C), .Q(Q)) output_path (
        .clk(clk), .rst(rst), .load(acc_en & acc_last), .job(acc_job), .shadow(shadow),
        .y_valid(y_valid), .y_job(y_job), .y_row(y_row), .y_data(y_data), .busy(drain_busy));
endmodule
