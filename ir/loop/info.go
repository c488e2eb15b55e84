package loop

// opInfo is what the levels need to know of an operation.
type opInfo struct {
	name string
	pure bool // no memory access, no region: may be merged and moved
}

// opInfos is the table of operations.
var opInfos = [...]opInfo{
	OpConst: {"const", true}, OpAdd: {"add", true}, OpSub: {"sub", true}, OpMul: {"mul", true},
	OpDiv: {"div", true}, OpRem: {"rem", true}, OpFMA: {"fma", true}, OpNeg: {"neg", true}, OpAbs: {"abs", true},
	OpMin: {"min", true}, OpMax: {"max", true}, OpSqrt: {"sqrt", true}, OpFloor: {"floor", true}, OpCeil: {"ceil", true},
	OpTrunc: {"trunc", true}, OpRound: {"round", true}, OpAnd: {"and", true}, OpOr: {"or", true}, OpXor: {"xor", true},
	OpNot: {"not", true}, OpShl: {"shl", true}, OpShr: {"shr", true}, OpCmp: {"cmp", true}, OpSelect: {"select", true},
	OpConvert: {"convert", true}, OpBitcast: {"bitcast", true}, OpBroadcast: {"broadcast", true}, OpExtract: {"extract", true},
	OpShuffle: {"shuffle", true}, OpReduceAdd: {"reduce_add", true}, OpReduceMul: {"reduce_mul", true},
	OpReduceMin: {"reduce_min", true}, OpReduceMax: {"reduce_max", true}, OpIota: {"iota", true},
	OpLoad: {"load", false}, OpLoadMask: {"load_mask", false}, OpGather: {"gather", false},
	OpStore: {"store", false}, OpStoreMask: {"store_mask", false}, OpPrefetch: {"prefetch", false}, OpDot4: {"dot4", true}, OpDot2: {"dot2", true}, OpFor: {"for", false}, OpIf: {"if", false},
}

// String is the operation's name in the text form.
func (o Op) String() string { return opInfos[o].name }

// Reads reports whether o reads memory.
func (o Op) Reads() bool { return o == OpLoad || o == OpLoadMask || o == OpGather }

// Addresses reports whether o has a buffer and an index.
func (o Op) Addresses() bool { return o.Reads() || o.Writes() || o == OpPrefetch }

// Effect reports whether o is there for what it does, not for a result.
func (o Op) Effect() bool { return o.Writes() || o == OpPrefetch }

// Writes reports whether o writes memory.
func (o Op) Writes() bool { return o == OpStore || o == OpStoreMask }

var predNames = [...]string{EQ: "eq", NE: "ne", LT: "lt", LE: "le", GT: "gt", GE: "ge"}

// String is the comparison's name in the text form.
func (p Pred) String() string { return predNames[p] }
