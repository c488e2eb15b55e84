#include "textflag.h"

// The frame holds the kernel's stack and room to align it. R19 is one that kernels preserve; so are R18
// (the platform's) and R28 (g), which kernels are compiled not to touch.

// func Call(fn uintptr, args *int64, lo, hi int64)
TEXT ·Call(SB), 0, $49408-32
	MOVD fn+0(FP), R9
	MOVD args+8(FP), R0
	MOVD lo+16(FP), R1
	MOVD hi+24(FP), R2
	MOVD RSP, R19
	ADD  $49392, RSP, R10
	AND  $~63, R10, R10
	MOVD R10, RSP
	CALL (R9)
	MOVD R19, RSP
	RET
