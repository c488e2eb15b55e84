package exec

import (
	"errors"
	"fmt"
)

// The kinds of errors that New and Run return; match them with errors.Is.
var (
	ErrInput  = errors.New("wrong input")        // missing, unknown, or of the wrong kind
	ErrDType  = errors.New("wrong element type") // of an input
	ErrShape  = errors.New("wrong shape")        // of an input, or sizes that do not agree inside the model
	ErrMemory = errors.New("not enough memory")
	ErrStep   = errors.New("step failed") // a host operation refused its operands, or the model itself said so
	ErrLevel  = errors.New("instruction-set level not available")
	ErrPlan   = errors.New("malformed model")
	ErrClosed = errors.New("model is closed")
)

// Error is an error of a run. What names the input, output or step; Want and Got say the rest where
// there is something to compare.
type Error struct {
	Kind      error
	What      string
	Want, Got string
	Err       error // cause, may be nil
}

// Error gives one line: what, which kind, what was got and what was wanted.
func (e *Error) Error() string {
	s := e.What + ": " + e.Kind.Error()
	if e.Got != "" {
		s += ": got " + e.Got
	}
	if e.Want != "" {
		s += ", want " + e.Want
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

func (m *Model) stepError(pc int, kind error, format string, args ...any) error {
	return &Error{Kind: kind, What: m.stepName(pc), Err: fmt.Errorf(format, args...)}
}

func (m *Model) stepName(pc int) string {
	s := &m.p.Steps[pc]
	if s.HostOp != "" {
		return fmt.Sprintf("step %d (%s %s)", pc, s.HostOp, s.Name)
	}
	return fmt.Sprintf("step %d (%s)", pc, s.Name)
}
