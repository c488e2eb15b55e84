#include "textflag.h"

// The frame holds the kernel's stack and room to align it. Go's registers need no care: the caller of
// an ABI0 function expects none to survive, and g is reloaded. R12 is one that kernels preserve. Kernels
// themselves leave the upper halves of vector registers clear (vzeroupper).

// func Call(fn uintptr, args *int64, lo, hi int64)
TEXT ·Call(SB), 0, $49408-32
	MOVQ fn+0(FP), AX
	MOVQ args+8(FP), DI
	MOVQ lo+16(FP), SI
	MOVQ hi+24(FP), DX
	MOVQ SP, R12
	LEAQ 49392(SP), BX
	ANDQ $~63, BX
	MOVQ BX, SP
	CALL AX
	MOVQ R12, SP
	RET

// The frame holds the kernel's arguments, its scratch memory, and room to align that.

// func CallGo(fn uintptr, args *int64, lo, hi int64)
TEXT ·CallGo(SB), 0, $49248-32
	MOVQ fn+0(FP), AX
	MOVQ args+8(FP), BX
	MOVQ lo+16(FP), CX
	MOVQ hi+24(FP), DX
	LEAQ 95(SP), SI
	ANDQ $~63, SI
	MOVQ BX, 0(SP)
	MOVQ CX, 8(SP)
	MOVQ DX, 16(SP)
	MOVQ SI, 24(SP)
	CALL AX
	RET

// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET

// func xgetbv() (a, d uint32)
TEXT ·xgetbv(SB), NOSPLIT, $0-8
	MOVL $0, CX
	XGETBV
	MOVL AX, a+0(FP)
	MOVL DX, d+4(FP)
	RET
