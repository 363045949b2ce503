// Non-zero element selector of one (column, lane): shared by the R elements of the column. Each
// select cycle takes the lowest bit left in the bitmap; after N of them the next bitmap is loaded,
// so bits beyond the N lowest never matter. Dense jobs have one element per group: the first.
module nes #(
    parameter MMAX = 16
) (
    input  wire            clk,
    input  wire            load,
    input  wire [MMAX-1:0] bitmap,
    input  wire            next,
    input  wire            sparse,
    output wire [4:0]      index
);
    reg [MMAX-1:0] bm;
    reg [4:0]      lowest;
    integer        i;

    always @* begin
        lowest = 5'd0;
        for (i = MMAX - 1; i >= 0; i = i - 1)
            if (bm[i])
                lowest = i[4:0];
    end

    assign index = sparse ? lowest : 5'd0;

    always @(posedge clk)
        if (load)
            bm <= bitmap;
        else if (next)
            bm <= bm & (bm - 1'b1);
endmodule
