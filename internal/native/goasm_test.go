//go:build linux

package native

import (
	"context"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/abi"
)

// probes are kernels that store what they get, and overwrite all memory that is theirs: their frame of 512 bytes
// and their scratch memory.
var probes = map[string]string{"amd64": `
#include "textflag.h"

DATA c<>+0(SB)/8, $0x123456789abcdef0
GLOBL c<>(SB), RODATA|NOPTR, $8

// func probe(args *int64, lo, hi int64, scratch *byte)
TEXT ·probe(SB), NOSPLIT, $512-32
	MOVQ args+0(FP), R8
	MOVQ lo+8(FP), R9
	MOVQ hi+16(FP), R10
	MOVQ scratch+24(FP), R11
	MOVQ R9, (R8)
	MOVQ R10, 8(R8)
	MOVQ R11, 16(R8)
	MOVQ c<>(SB), AX
	MOVQ AX, 24(R8)
	MOVQ $-1, AX
	MOVQ $6144, CX
	MOVQ R11, DI
	REP; STOSQ
	MOVQ $64, CX
	MOVQ SP, DI
	REP; STOSQ
	MOVQ $7, R14
	MOVQ $7, R15
	RET
`, "arm64": `
#include "textflag.h"

DATA c<>+0(SB)/8, $0x123456789abcdef0
GLOBL c<>(SB), RODATA|NOPTR, $8

// func probe(args *int64, lo, hi int64, scratch *byte)
TEXT ·probe(SB), NOSPLIT, $512-32
	MOVD args+0(FP), R0
	MOVD lo+8(FP), R1
	MOVD hi+16(FP), R2
	MOVD scratch+24(FP), R3
	MOVD R1, (R0)
	MOVD R2, 8(R0)
	MOVD R3, 16(R0)
	MOVD c<>(SB), R4
	MOVD R4, 24(R0)
	MOVD $-1, R5
	MOVD $6144, R6
fill:
	MOVD.P R5, 8(R3)
	SUBS $1, R6
	BNE fill
	MOVD $64, R6
	ADD $8, RSP, R3
frame:
	MOVD.P R5, 8(R3)
	SUBS $1, R6
	BNE frame
	MOVD $7, R19
	MOVD $7, R26
	RET
`}

func TestLoadGoAsm(t *testing.T) {
	text := probes[runtime.GOARCH]
	if text == "" {
		t.Skip("no Go assembly for ", runtime.GOARCH)
	}
	c, err := LoadGoAsm(context.Background(), map[string][]byte{"probe_" + runtime.GOARCH + ".s": []byte(text)}, []string{"probe"})
	require.NoError(t, err)
	require.Zero(t, c.Symbol("other"))
	fn := c.Symbol("probe")
	require.NotZero(t, fn)
	// Deeper and deeper on a stack that is just large enough, so that the call's frame makes it grow: what is on the
	// stack must come through.
	args := make([]int64, 4)
	for depth := range 300 {
		done := make(chan bool)
		go func() { done <- deep(depth, int64(depth), fn, args) }()
		require.True(t, <-done, "depth %d", depth)
		require.Equal(t, []int64{int64(depth), 1 << 40, 0x123456789abcdef0}, []int64{args[0], args[1], args[3]})
		require.Zero(t, args[2]%64, "alignment of scratch")
	}
	require.NoError(t, c.Close())
}

// deep calls fn in the n-th nested call and reports whether the calls' memory is whole after it.
//
//go:noinline
func deep(n int, lo int64, fn uintptr, args []int64) bool {
	var own [32]int64
	for i := range own {
		own[i] = int64(n + i)
	}
	ok := true
	if n > 0 {
		ok = deep(n-1, lo, fn, args)
	} else {
		abi.CallGo(fn, unsafe.SliceData(args), lo, 1<<40)
	}
	for i := range own {
		ok = ok && own[i] == int64(n+i)
	}
	return ok
}
