package build

import (
	"bytes"
	"fmt"
	"go/format"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// enumNames gives the Go names of the plan's enumerations, so that a generated plan can be read.
var enumNames = map[reflect.Type][]string{
	reflect.TypeFor[plan.SlotOp]():  {"SlotConst", "SlotInput", "SlotBound", "SlotAdd", "SlotMul", "SlotDiv", "SlotMod", "SlotMax", "SlotMin"},
	reflect.TypeFor[plan.BufKind](): {"BufArena", "BufWeight", "BufInput", "BufOutput", "BufPart", "BufHeap"},
	reflect.TypeFor[plan.ArgKind](): {"ArgBuf", "ArgSlot"},
	reflect.TypeFor[plan.StepKind](): {"StepKernel", "StepHost", "StepEval", "StepBind", "StepSetSlot", "StepJump", "StepJumpIf", "StepJumpLt",
		"StepCheck", "StepFail", "StepAlloc"},
}

// PlanLiteral is Go source that declares thePlan; constraint is a line with a build constraint or empty.
func PlanLiteral(pkg, constraint, runtimePath string, p *plan.Plan, hostName func(op string) string) ([]byte, error) {
	l := &literal{host: hostName}
	l.value(reflect.ValueOf(*p), 1)
	if l.err != nil {
		return nil, l.err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, generated+"%spackage %s\n\nimport (\n", constraint, pkg)
	if bytes.Contains(l.Bytes(), []byte("math.")) {
		out.WriteString("\"math\"\n\n")
	}
	for _, imp := range []string{"hostop", "plan", "tensor"} {
		if imp == "plan" || bytes.Contains(l.Bytes(), []byte(imp+".")) {
			fmt.Fprintf(&out, "%q\n", runtimePath+"/"+imp)
		}
	}
	fmt.Fprintf(&out, ")\n\n// thePlan is the compiled model: its sizes, buffers and steps.\nvar thePlan = %s\n", l.String())
	src, err := format.Source(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("generated plan does not parse: %w", err)
	}
	return src, nil
}

// literal prints values as Go composite literals, leaving out zero fields.
type literal struct {
	bytes.Buffer
	host func(op string) string
	err  error
}

func (l *literal) value(v reflect.Value, depth int) {
	t := v.Type()
	if names, ok := enumNames[t]; ok {
		if int(v.Uint()) >= len(names) {
			l.err = fmt.Errorf("build: no name for %v %d", t, v.Uint())
			return
		}
		l.WriteString("plan." + names[v.Uint()])
		return
	}
	switch x := v.Interface().(type) {
	case tensor.Attrs:
		l.attrs(x)
		return
	case tensor.DType:
		fmt.Fprintf(l, "tensor.DType(%d)", x)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		l.structure(v, depth)
	case reflect.Slice:
		l.slice(v, depth)
	case reflect.String:
		l.WriteString(strconv.Quote(v.String()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		l.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Uint8:
		l.WriteString(strconv.FormatUint(v.Uint(), 10))
	case reflect.Bool:
		l.WriteString(strconv.FormatBool(v.Bool()))
	default:
		l.err = fmt.Errorf("build: cannot print a %v", t)
	}
}

func (l *literal) structure(v reflect.Value, depth int) {
	l.WriteString(v.Type().String() + "{")
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0 || f.Kind() == reflect.Map && f.Len() == 0 {
			continue
		}
		if depth == 1 {
			l.WriteByte('\n')
		}
		if f.Type() == reflect.TypeFor[hostop.Func]() {
			continue // printed with HostOp
		}
		l.WriteString(name + ": ")
		l.value(f, depth+1)
		l.WriteString(", ")
		if s, ok := v.Interface().(plan.Step); ok && name == "HostOp" {
			fmt.Fprintf(l, "Host: hostop.%s, ", l.host(s.HostOp))
		}
	}
	l.WriteByte('}')
}

func (l *literal) slice(v reflect.Value, depth int) {
	l.WriteString(v.Type().String() + "{")
	lines := depth <= 2 && v.Type().Elem().Kind() == reflect.Struct
	for i := range v.Len() {
		if lines {
			l.WriteByte('\n')
		}
		l.value(v.Index(i), depth+1)
		l.WriteString(", ")
	}
	if lines {
		l.WriteByte('\n')
	}
	l.WriteByte('}')
}

// float is a Go expression for f, bit for bit.
func float(f float64) string {
	switch {
	case math.IsInf(f, 0):
		return fmt.Sprintf("math.Inf(%d)", map[bool]int{true: 1, false: -1}[f > 0])
	case f != f || f == 0 && math.Signbit(f):
		return fmt.Sprintf("math.Float64frombits(%#x)", math.Float64bits(f))
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// attrs prints attributes with the exact types that host functions expect.
func (l *literal) attrs(a tensor.Attrs) {
	l.WriteString("tensor.Attrs{")
	keys := a.Keys()
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(l, "%q: ", k)
		switch x := a[k].(type) {
		case *tensor.Tensor:
			fmt.Fprintf(l, "&tensor.Tensor{DType: tensor.DType(%d), Shape: %#v, Data: %#v, Strings: %#v}", x.DType, x.Shape, x.Data, x.Strings)
		case tensor.DType:
			fmt.Fprintf(l, "tensor.DType(%d)", x)
		case float64:
			fmt.Fprintf(l, "float64(%s)", float(x))
		case []float64:
			l.WriteString("[]float64{")
			for _, f := range x {
				l.WriteString(float(f) + ", ")
			}
			l.WriteByte('}')
		case int64:
			fmt.Fprintf(l, "int64(%d)", x)
		case string, bool, []int64, []string:
			fmt.Fprintf(l, "%#v", x)
		default:
			l.err = fmt.Errorf("build: attribute %q of type %T cannot be carried into a program", k, x)
		}
		l.WriteString(", ")
	}
	l.WriteByte('}')
}
