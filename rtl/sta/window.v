// The window registers of one row: words of a step collect in `staging`; the last one passes it by
// and moves the whole window into `active`, from which the row's elements select. So the next
// step's words can come while this one is still being used.
module window #(
    parameter L = 4, parameter PA = 32, parameter MMAX = 16
) (
    input  wire                 clk,
    input  wire                 en,   // data holds words
    input  wire                 last, // the step's last
    input  wire [L*MMAX-1:0]    take,
    input  wire [L*MMAX*16-1:0] from,
    input  wire [PA*9-1:0]      data,
    output reg  [L*MMAX*9-1:0]  active
);
    reg [L*MMAX*9-1:0] staging, filled;
    integer            i;

    always @* begin
        filled = staging;
        for (i = 0; i < L*MMAX; i = i + 1)
            if (take[i])
                filled[i*9 +: 9] = data[from[i*16 +: 16]*9 +: 9];
    end

    always @(posedge clk) begin
        if (en)
            staging <= filled;
        if (en & last)
            active <= filled;
    end
endmodule
