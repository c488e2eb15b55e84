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

// The frame holds the kernel's arguments, above where it saves the link register, its scratch memory, and room
// to align that.

// func CallGo(fn uintptr, args *int64, lo, hi int64)
TEXT ·CallGo(SB), 0, $49264-32
	MOVD fn+0(FP), R9
	MOVD args+8(FP), R0
	MOVD lo+16(FP), R1
	MOVD hi+24(FP), R2
	ADD  $103, RSP, R3
	AND  $~63, R3, R3
	MOVD R0, 8(RSP)
	MOVD R1, 16(RSP)
	MOVD R2, 24(RSP)
	MOVD R3, 32(RSP)
	CALL (R9)
	RET
