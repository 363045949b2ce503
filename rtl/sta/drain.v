// Reads the shadow registers of a finished tile, one PE row per cycle and always all R rows, and
// hands each row to the output path, of which the engine has only the Q register stages: bias,
// scale and tables belong to whoever takes y. A tile may finish in the very cycle in which the last
// row of the one before is read.
module drain #(
    parameter R = 16, parameter C = 16, parameter Q = 4
) (
    input  wire              clk,
    input  wire              rst,
    input  wire              load, // last accumulation of a tile
    input  wire [31:0]       job,
    input  wire [R*C*32-1:0] shadow,
    output wire              y_valid,
    output wire [31:0]       y_job,
    output wire [7:0]        y_row,
    output wire [C*32-1:0]   y_data,
    output wire              busy
);
    localparam W    = C*32 + 40; // row, job, data
    localparam LAST = R - 1;

    reg               run;
    reg  [7:0]        at;
    reg  [31:0]       id;
    wire [Q:0]        valid; // entry q: behind q stages
    wire [(Q+1)*W-1:0] stage;

    always @(posedge clk) begin
        run <= ~rst & (load | (run & (at != LAST[7:0])));
        at  <= load ? 8'd0 : at + 8'd1;
        if (load)
            id <= job;
    end

    assign valid[0]      = run;
    assign stage[0 +: W] = {at, id, shadow[at*C*32 +: C*32]};

    genvar q;
    generate
        for (q = 1; q <= Q; q = q + 1) begin : stages
            reg         v;
            reg [W-1:0] d;
            always @(posedge clk) begin
                v <= ~rst & valid[q-1];
                d <= stage[(q-1)*W +: W];
            end
            assign valid[q]          = v;
            assign stage[q*W +: W] = d;
        end
    endgenerate

    assign y_valid                = valid[Q];
    assign {y_row, y_job, y_data} = stage[Q*W +: W];
    assign busy                   = |valid;
endmodule
