// One processing element: L selectors, L multipliers 9x8, an adder tree, a wrapping 32-bit
// accumulator and its shadow, from which the drain reads while the next tile accumulates. Data run
// through the stages unguarded; only the accumulators look at what is valid.
module pe #(
    parameter L = 4, parameter MMAX = 16
) (
    input  wire                clk,
    input  wire [L*MMAX*9-1:0] window,
    input  wire [L*5-1:0]      index,
    input  wire [L*8-1:0]      value,
    input  wire                acc_en,
    input  wire                acc_first, // first product of the tile
    input  wire                acc_last,
    output reg  [31:0]         shadow
);
    function integer log2_up(input integer x);
        for (log2_up = 0; (1 << log2_up) < x; log2_up = log2_up + 1)
            ;
    endfunction
    localparam TREE = 17 + log2_up(L);

    reg [L*9-1:0]    a;
    reg [L*8-1:0]    w;
    reg [L*17-1:0]   product;
    reg [TREE-1:0]   sum, tree;
    reg [31:0]       acc;
    integer          i, l;
    wire [31:0]      total = (acc_first ? 32'd0 : acc) + {{32-TREE{tree[TREE-1]}}, tree};

    always @* begin
        sum = {TREE{1'b0}};
        for (i = 0; i < L; i = i + 1)
            sum = sum + {{TREE-16{product[i*17 + 16]}}, product[i*17 +: 16]};
    end

    always @(posedge clk) begin
        w <= value; // select
        for (l = 0; l < L; l = l + 1) begin
            a[l*9 +: 9]         <= window[(l*MMAX + {27'd0, index[l*5 +: 5]})*9 +: 9];
            product[l*17 +: 17] <= $signed(a[l*9 +: 9]) * $signed(w[l*8 +: 8]); // multiply
        end
        tree <= sum;
        if (acc_en)
            acc <= total;
        if (acc_en & acc_last)
            shadow <= total;
    end
endmodule
