package passes

import "slices"

// Expands reports whether a rule writes ops of this name as others, at every level of optimisation.
func Expands(op string) bool {
	return slices.ContainsFunc(slices.Concat(canonRules, expandRules), func(r *rule) bool { return slices.Contains(r.ops, op) })
}

// RuleInfo describes a rewrite rule for people.
type RuleInfo struct {
	Name    string
	Algebra string // pattern -> replacement, with its conditions
	Inexact bool   // off with -math=strict
}

// Rules lists the rewrite rules in the order of their tables.
func Rules() []RuleInfo {
	var out []RuleInfo
	for _, r := range slices.Concat(foldRules, canonRules, expandRules, viewRules, idiomRules, qkvRules, channelRules, algebraRules, linearRules) {
		out = append(out, RuleInfo{r.name, r.algebra, r.inexact})
	}
	return out
}
