package ir

// nnc's own ops. Blocked tensors hold f32[N,C,H,W] as f32[N,ceil(C/16),H,W,16]; the lanes beyond C hold
// values that nobody may depend on.
var opsOwn = []*OpInfo{
	row("Const() -> output", "value:data", OwnOp, inferConst, "constant data"),
	withRegions(1, row("Fused(operands*) -> results*", "", OwnOp, inferFused,
		"runs its region, whose parameters are the operands: elementwise ops, or one anchor (Conv, MatMul, ...) and then elementwise ops")),
	row("Require(X, condition) -> Y", "", OwnOp, inferRequire, "X; an error where the condition (one bool) does not hold"),
	row("SquaredDistance(X, Y) -> Z", "", OwnOp, inferSquaredDistance, "squares of the distances of the rows of X [N,F] from the columns of Y [F,M], [N,M]"),
	row("PairwiseCoupling(R) -> P", "classes:int", OwnOp, inferPairwiseCoupling, "probabilities of classes [N,C] from those of pairs of classes [N,C*(C-1)/2]"),
	row("Seed() -> seed", "", Impure|OwnOp, inferSeed, "a random number of the run, i64: the key of the random ops that have no seed"),
	row("Block(X) -> Y", "", OwnOp, inferBlock, "f32[N,C,H,W] to blocked"),
	row("Unblock(X) -> Y", "channels:int", OwnOp, inferUnblock, "blocked to f32[N,channels,H,W]"),
	row("BlockedConv(X, W, B?) -> Y", convAttrs+" channels:int plain_input:int to:dtype", OwnOp, inferBlockedConv,
		"Conv of a blocked tensor of `channels` channels (of a plain one with plain_input) to a blocked one; W as in Conv; `to` as for MatMul"),
	row("BlockedMaxPool(X) -> Y", poolAttrs+" channels:int", OwnOp, inferBlockedPool, "MaxPool of a blocked tensor"),
	row("BlockedAveragePool(X) -> Y", avgAttrs+" channels:int", OwnOp, inferBlockedPool, "AveragePool of a blocked tensor"),
	row("BlockedGlobalAveragePool(X) -> Y", "channels:int", OwnOp, inferBlockedGlobalPool, "GlobalAveragePool of a blocked tensor"),
	row("ChannelNorm(X, Scale, B?) -> Y", "epsilon:float", OwnOp, inferSame, "LayerNormalization of the channels of each pixel of f32[N,C,H,W]"),
	row("BlockedChannelNorm(X, Scale, B?) -> Y", "channels:int epsilon:float", OwnOp, inferSame, "ChannelNorm of a blocked tensor"),
	row("BlockedPick(X) -> Y", "rows:ints columns:ints", OwnOp, inferBlockedPick, "a blocked tensor whose pixel i, j is X's pixel rows[i], columns[j]"),
	row("BlockedSelect(X*) -> Y", "from:ints", OwnOp, inferBlockedSelect, "a blocked tensor whose channel i is lane from[i] of the blocks of all X"),
	row("QKVAttention(X, attn_mask?) -> Y", "heads:int scale:float masked_score:float", OwnOp, inferQKVAttention,
		"Attention of queries, keys and values that stand beside each other in X [B,L,3*heads*D], as Softmax has rows that see nothing"),
	row("Unpack(X) -> Y", "", OwnOp, inferUnpack, "elements of 2 or 4 bits in a byte each: integers as u8 or i8, f4e2m1 as its codes"),
	row("Pack(X) -> Y", "to:dtype", OwnOp, inferPack, "the low bits of bytes as elements of a type of 2 or 4 bits"),
	row("Decode(X) -> Y", "from:dtype", Elementwise|OwnOp, inferDecode, "codes (u8) of a float type of at most 8 bits as f32"),
	row("Encode(X) -> Y", "round_mode:string saturate:int to:dtype", Elementwise|OwnOp, inferEncode, "f32 or f64 as codes (u8) of a float type of at most 8 bits"),
	row("Part(X) -> Y", "index:int", OwnOp, inferPart, "the bits of the real (0) or imaginary (1) parts of complex numbers, as u32 or u64"),
	row("Join(X, Y) -> Z", "", OwnOp, inferJoin, "complex numbers of the bits of their real and imaginary parts"),
	row("Regroup(X) -> Y", "to:dtype", OwnOp|View, inferRegroup, "the bytes of the last dimension as elements of a type of another width"),
}
