package hostop

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// stringsIn is the required string tensor input i.
func (c *Call) stringsIn(i int) *tensor.Tensor {
	t := c.in(i)
	check(t.DType == tensor.String, "input %d must be strings, got %s", i, t.TypeString())
	return t
}

// StringConcat joins strings element by element, with broadcasting.
func StringConcat(c *Call) (err error) {
	defer guard(&err)
	x, y := c.stringsIn(0), c.stringsIn(1)
	shape := broadcastShape(x.Shape, y.Shape)
	out := stridedCopy(x, 0, shape, broadcastStrides(x.Shape, shape))
	for i, s := range stridedCopy(y, 0, shape, broadcastStrides(y.Shape, shape)).Strings {
		out.Strings[i] += s
	}
	c.give(out)
	return nil
}

// caseChange gives the functions that change to lower and upper case in a locale: only Turkish and
// Azeri differ from the rest of the world.
func caseChange(locale string) map[string]func(string) string {
	lang, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(locale), "-", "_"), "_")
	m := map[string]func(string) string{"NONE": func(s string) string { return s }, "LOWER": strings.ToLower, "UPPER": strings.ToUpper}
	if lang == "tr" || lang == "az" {
		m["LOWER"] = func(s string) string { return strings.ToLowerSpecial(unicode.TurkishCase, s) }
		m["UPPER"] = func(s string) string { return strings.ToUpperSpecial(unicode.TurkishCase, s) }
	}
	return m
}

// StringNormalizer removes stop words, which are whole elements, and changes the case of the others.
// Where nothing is left the result is one empty string.
func StringNormalizer(c *Call) (err error) {
	defer guard(&err)
	x := c.stringsIn(0)
	rank := len(x.Shape)
	check(rank == 1 || rank == 2 && x.Shape[0] == 1, "[C] or [1,C] wanted, got %s", x.TypeString())
	action, locale := c.Attrs.Str("case_change_action", "NONE"), c.Attrs.Str("locale", "")
	oneOf("case_change_action", action, "NONE", "LOWER", "UPPER")
	change := caseChange(locale)
	key := change["NONE"]
	if c.Attrs.Int("is_case_sensitive", 0) == 0 {
		key = change["LOWER"]
	}
	stop := map[string]bool{}
	for _, w := range c.Attrs.Strs("stopwords", nil) {
		stop[key(w)] = true
	}
	var out []string
	for _, s := range x.Strings {
		if !stop[key(s)] {
			out = append(out, change[action](s))
		}
	}
	if len(out) == 0 {
		out = []string{""}
	}
	shape := append([]int64{}, x.Shape...)
	shape[rank-1] = int64(len(out))
	c.give(tensor.OfStrings(out, shape...))
	return nil
}

// StringSplit splits strings into parts along a new last axis, padded with empty strings, and counts the
// parts of each. Without a delimiter it splits at runs of white space, which it removes at both ends.
func StringSplit(c *Call) (err error) {
	defer guard(&err)
	x := c.stringsIn(0)
	parts, longest := make([][]string, len(x.Strings)), 0
	counts := make([]int64, len(x.Strings))
	for i, s := range x.Strings {
		parts[i] = splitString(s, c.Attrs.Str("delimiter", ""), int(c.Attrs.Int("maxsplit", -1)))
		counts[i] = int64(len(parts[i]))
		longest = max(longest, len(parts[i]))
	}
	out := alloc(tensor.String, append(append([]int64{}, x.Shape...), int64(longest))...)
	for i, p := range parts {
		copy(out.Strings[i*longest:], p)
	}
	c.give(out, tensor.Of(counts, x.Shape...))
	return nil
}

// splitString makes at most most splits; a negative number means no bound.
func splitString(s, delimiter string, most int) []string {
	if delimiter != "" {
		if most < 0 {
			return strings.Split(s, delimiter)
		}
		return strings.SplitN(s, delimiter, most+1)
	}
	fields := strings.Fields(s)
	if most < 0 || len(fields) <= most+1 {
		return fields
	}
	rest := s // what is left keeps the white space inside it
	for range most {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		rest = rest[strings.IndexFunc(rest, unicode.IsSpace):]
	}
	return append(fields[:most:most], strings.TrimSpace(rest))
}

// RegexFullMatch tells which strings a regular expression in RE2's syntax matches as a whole.
func RegexFullMatch(c *Call) (err error) {
	defer guard(&err)
	x, pattern := c.stringsIn(0), c.Attrs.Str("pattern", "")
	_, err = regexp.Compile(pattern)
	check(err == nil, "pattern %q: %v", pattern, err)
	re := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
	out := alloc(tensor.Bool, x.Shape...)
	for i, s := range x.Strings {
		if re.MatchString(s) {
			out.Data[i] = 1
		}
	}
	c.give(out)
	return nil
}
