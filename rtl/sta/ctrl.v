// When everything happens. A job is accepted in the cycle `is` of its first fetch; then, for step s:
//
//   is + s*P + g           g < G   fetch g of the window (a_en)
//   is + s*P + G-1                 "full": bitmaps are read (b_en), the value side takes the step
//   is + s*P + G + j       j < N   value word j is read (v_en)
//   is + s*P + G + 1 + j           select; then multiply, tree, accumulate, a cycle each
//
// so the last accumulation is in la = is + off, off = (S-1)*P + G + N + 3. A job is accepted while
// its predecessor is still reading values and selecting: its fields therefore live in up to three
// copies, and two timers keep the order behind the fetches.
module ctrl #(
    parameter R = 16, parameter L = 4, parameter PA = 32, parameter MMAX = 16
) (
    input  wire        clk,
    input  wire        rst,
    input  wire [4:0]  cfg_n,
    input  wire [4:0]  cfg_m,
    input  wire        cfg_sparse,
    input  wire [15:0] cfg_steps,
    input  wire [2:0]  cfg_g,
    input  wire [4:0]  cfg_p,
    input  wire        job_valid,
    output wire        job_ready,
    input  wire [31:0] job_id,
    output wire        a_en,
    output wire [31:0] a_job,
    output wire [15:0] a_off,
    output wire        b_en,
    output wire [31:0] b_job,
    output wire [15:0] b_step,
    output wire        v_en,
    output wire [31:0] v_job,
    output wire [15:0] v_step,
    output wire [4:0]  v_j,
    // the words on a_data in this cycle: fetch window_g of a step, and whether the last of it
    output reg         window_en,
    output reg  [4:0]  window_m,
    output reg  [2:0]  window_g,
    output reg         window_last,
    // this cycle selects
    output reg         select_en,
    output reg         select_sparse,
    // this cycle accumulates
    output wire        acc_en,
    output wire        acc_first,
    output wire        acc_last,
    output wire [31:0] acc_job,
    output wire        busy
);
    // No timer can exceed off once S-1 reaches this, so the product below stays small.
    localparam ENOUGH = R + 3 + MMAX;

    // ---- fetch side: from the port in the first cycle, from its copy in the later ones
    reg         running;
    reg  [15:0] f_step, f_base, f_off;
    reg  [4:0]  f_phase, f_n, f_m, f_p;
    reg  [2:0]  f_g;
    reg         f_sparse;
    reg  [15:0] f_steps;
    reg  [31:0] f_job;

    wire        accept  = job_valid & job_ready;
    wire        active  = accept | running;
    wire [4:0]  n       = running ? f_n      : cfg_n;
    wire [4:0]  m       = running ? f_m      : cfg_m;
    wire        sparse  = running ? f_sparse : cfg_sparse;
    wire [15:0] steps   = running ? f_steps  : cfg_steps;
    wire [2:0]  g       = running ? f_g      : cfg_g;
    wire [4:0]  p       = running ? f_p      : cfg_p;
    wire [31:0] job     = running ? f_job    : job_id;
    wire [4:0]  phase   = running ? f_phase  : 5'd0;  // cycle of the step, 0 .. P-1
    wire [15:0] step    = running ? f_step   : 16'd0;
    wire [15:0] base    = running ? f_base   : 16'd0; // s*L*M

    wire        full      = active & (phase + 5'd1 == {2'd0, g});
    wire        step_end  = phase + 5'd1 == p;
    wire        last_step = step + 16'd1 == steps;
    wire        job_end   = active & step_end & last_step; // cycle is + SP-1
    wire [15:0] next_base = base + L[15:0] * {11'd0, m};

    assign a_en   = active & (phase < {2'd0, g});
    assign a_job  = job;
    assign a_off  = running ? f_off : 16'd0;
    assign b_en   = full & sparse;
    assign b_job  = job;
    assign b_step = step;

    always @(posedge clk) begin
        running <= ~rst & active & ~job_end;
        f_n      <= n;
        f_m      <= m;
        f_sparse <= sparse;
        f_steps  <= steps;
        f_g      <= g;
        f_p      <= p;
        f_job    <= job;
        f_phase  <= step_end ? 5'd0 : phase + 5'd1;
        f_step   <= step_end ? step + 16'd1 : step;
        f_base   <= step_end ? next_base : base;
        f_off    <= step_end ? next_base : a_off + PA[15:0];
    end

    // ---- order: the drain of the last job must have read its shadow registers when this one's
    // last accumulation overwrites them (drain_left = la + R - now, against the offered job's off),
    // and its last selection must be over when this one's first window becomes active
    // (select_left = last select cycle - now, against G). The second rule binds only when the shape
    // changes. Both timers are loaded in the job's last fetch-side cycle and nobody looks before.
    reg  [9:0]  drain_left;
    reg  [4:0]  select_left;
    wire [15:0] steps_before = cfg_steps - 16'd1;
    wire [15:0] few          = steps_before > ENOUGH[15:0] ? ENOUGH[15:0] : steps_before;
    wire [15:0] off          = few * {11'd0, cfg_p} + {13'd0, cfg_g} + {11'd0, cfg_n} + 16'd3;
    wire [4:0]  tail         = {2'd0, g} + n - p; // last select cycle behind is + SP: min(N, G)

    assign job_ready = ~rst & ~running & ({6'd0, drain_left} <= off) &
                       (select_left <= {2'd0, cfg_g});

    always @(posedge clk)
        if (rst) begin
            drain_left  <= 10'd0;
            select_left <= 5'd0;
        end else if (job_end) begin
            drain_left  <= R[9:0] + {5'd0, tail} + 10'd3;
            select_left <= tail;
        end else begin
            if (drain_left != 10'd0)
                drain_left <= drain_left - 10'd1;
            if (select_left != 5'd0)
                select_left <= select_left - 5'd1;
        end

    // ---- a_data and b_data come a cycle after their enables
    always @(posedge clk) begin
        window_en   <= ~rst & a_en;
        window_last <= ~rst & full;
        window_m    <= m;
        window_g    <= phase[2:0];
    end

    // ---- value side: N words from the cycle after `full`, which may come again in the last of them
    reg         v_run, v_sparse, v_first_step, v_last_step;
    reg  [4:0]  v_count, v_n;
    reg  [15:0] v_at;
    reg  [31:0] v_id;
    wire        v_last = v_count + 5'd1 == v_n;

    assign v_en   = v_run;
    assign v_job  = v_id;
    assign v_step = v_at;
    assign v_j    = v_count;

    always @(posedge clk) begin
        v_run   <= ~rst & (full | (v_run & ~v_last));
        v_count <= full ? 5'd0 : v_count + 5'd1;
        if (full) begin
            v_n          <= n;
            v_sparse     <= sparse;
            v_at         <= step;
            v_id         <= job;
            v_first_step <= step == 16'd0;
            v_last_step  <= last_step;
        end
    end

    // ---- select side: a cycle behind the values, whose words it uses; then three stages to the
    // accumulators. Bit 0 of a pipe is the select stage's, bit 3 the accumulators'.
    reg  [3:1]  en;
    reg  [3:0]  first, last;
    reg  [31:0] id [0:3];

    assign acc_en    = en[3];
    assign acc_first = first[3];
    assign acc_last  = last[3];
    assign acc_job   = id[3];
    assign busy      = active | window_en | v_run | select_en | (|en);

    always @(posedge clk) begin
        select_en     <= ~rst & v_run;
        select_sparse <= v_sparse;
        en            <= rst ? 3'd0 : {en[2:1], select_en};
        first         <= {first[2:0], v_first_step & (v_count == 5'd0)};
        last          <= {last[2:0], v_last_step & v_last};
        id[0]         <= v_id;
        id[1]         <= id[0];
        id[2]         <= id[1];
        id[3]         <= id[2];
    end
endmodule
