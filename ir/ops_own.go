package ir

// nnc's own ops. Blocked tensors hold f32[N,C,H,W] as f32[N,ceil(C/16),H,W,16]; the lanes beyond C hold
// values that nobody may depend on.
var opsOwn = []*OpInfo{
	row("Const() -> output", "value:data", OwnOp, inferConst, "constant data"),
	withRegions(1, row("Fused(operands*) -> results*", "", OwnOp, inferFused,
		"runs its region, whose parameters are the operands: elementwise ops, or one anchor (Conv, MatMul, ...) and then elementwise ops")),
	row("Require(X, condition) -> Y", "", OwnOp, inferRequire, "X; an error where the condition (one bool) does not hold"),
	row("Block(X) -> Y", "", OwnOp, inferBlock, "f32[N,C,H,W] to blocked"),
	row("Unblock(X) -> Y", "channels:int", OwnOp, inferUnblock, "blocked to f32[N,channels,H,W]"),
	row("BlockedConv(X, W, B?) -> Y", convAttrs+" channels:int plain_input:int", OwnOp, inferBlockedConv,
		"Conv of a blocked tensor of `channels` channels (of a plain one with plain_input) to a blocked one; W as in Conv"),
	row("BlockedMaxPool(X) -> Y", poolAttrs+" channels:int", OwnOp, inferBlockedPool, "MaxPool of a blocked tensor"),
	row("BlockedAveragePool(X) -> Y", avgAttrs+" channels:int", OwnOp, inferBlockedPool, "AveragePool of a blocked tensor"),
	row("BlockedGlobalAveragePool(X) -> Y", "channels:int", OwnOp, inferBlockedGlobalPool, "GlobalAveragePool of a blocked tensor"),
}
