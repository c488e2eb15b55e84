package loop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// malformed are instructions that Verify refuses, in a kernel with a value of each type that they name.
var malformed = map[string]string{
	"addition of halves":         "%90 f16x8 = add %h %h",
	"addition of predicates":     "%90 boolx8 = add %p %p",
	"remainder of floats":        "%90 f32x8 = rem %x %x",
	"fma of integers":            "%90 i32x8 = fma %n %n %n",
	"absolute value of unsigned": "%90 u8 = abs %u",
	"bits of floats":             "%90 f32x8 = and %x %x",
	"shift of predicates":        "%90 boolx8 = shl %p %p",
	"comparison of predicates":   "%90 boolx8 = cmp eq %p %p",
	"comparison of halves":       "%90 boolx8 = cmp eq %h %h",
	"conversion from bf16":       "%90 f32x8 = convert %b",
	"conversion of f16 to i32":   "%90 i32x8 = convert %h",
	"conversion of predicates":   "%90 i32x8 = convert %p",
	"bits of predicates":         "%90 u8x8 = bitcast %p",
	"three lanes":                "%90 f32x3 = const 0x0",
	"128 lanes":                  "%90 f32x128 = const 0x0",
	"lane of a scalar":           "%90 f32 = extract %s 0",
	"lane that is not there":     "%90 f32 = extract %x 8",
	"broadcast to a scalar":      "%90 f32 = broadcast %s",
	"shuffle of scalars":         "%90 f32x2 = shuffle %s %s [0,1]",
	"shuffle of lanes not there": "%90 f32x2 = shuffle %x %x [0,16]",
	"reduction of a scalar":      "%90 f32 = reduce_add %s",
	"reduction of halves":        "%90 f16 = reduce_add %h",
	"counting in floats":         "%90 f32x8 = iota",
	"counting in a scalar":       "%90 i32 = iota",
	"mask of other lanes":        "%90 f32x16 = load_mask buf %lo %p",
	"store to what is only read": "store buf %lo %x",
}

func TestVerifyRefuses(t *testing.T) {
	const head = `kernel k (buf f32 arg 0) range %lo %hi {
  %s f32 = const 0x0
  %x f32x8 = const 0x0
  %n i32x8 = const 0x0
  %h f16x8 = const 0x0
  %b bf16x8 = const 0x0
  %u u8 = const 0x0
  %p boolx8 = const 0x1
`
	for name, line := range malformed {
		t.Run(name, func(t *testing.T) {
			fs, err := Parse(head + "  " + line + "\n}\n")
			require.NoError(t, err)
			require.Error(t, Verify(fs[0]))
		})
	}
	fs, err := Parse(head + "  %90 f32x8 = add %x %x\n}\n")
	require.NoError(t, err)
	require.NoError(t, Verify(fs[0]))
}
