// Where the places of a window come from: place i of lane l is element l*M + i of the window, which
// the fetches bring PA at a time. M varies at run time, so this is a table over (M, g), one for all
// rows, rather than a divider: for each M the loops below run over the elements in order and count.
// Places i >= M are never selected.
module gather #(
    parameter L = 4, parameter PA = 32, parameter MMAX = 16
) (
    input  wire [4:0]           m,
    input  wire [2:0]           g,
    output reg  [L*MMAX-1:0]    take, // place l*MMAX + i is in fetch g,
    output reg  [L*MMAX*16-1:0] from  // at this position
);
    localparam LAST = PA - 1;

    integer    width, lane, i;
    reg [2:0]  fetch;
    reg [15:0] position;

    always @* begin
        take     = {L*MMAX{1'b0}};
        from     = {L*MMAX*16{1'b0}};
        fetch    = 3'd0;
        position = 16'd0;
        for (width = 1; width <= MMAX; width = width + 1)
            if (m == width[4:0])
                for (lane = 0; lane < L; lane = lane + 1)
                    for (i = 0; i < width; i = i + 1) begin
                        take[lane*MMAX + i]            = fetch == g;
                        from[(lane*MMAX + i)*16 +: 16] = position;
                        if (position == LAST[15:0])
                            fetch = fetch + 3'd1;
                        position = position == LAST[15:0] ? 16'd0 : position + 16'd1;
                    end
    end
endmodule
