package hostop

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// ngrams is the vocabulary of TfIdfVectorizer: the number of each n-gram by its words.
type ngrams struct {
	number map[string]int
	longer map[string]bool // what n-grams that are longer begin with
}

// ngramKey joins words so that different n-grams give different keys.
func ngramKey(words []string) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(strconv.Itoa(len(w)))
		b.WriteByte(':')
		b.WriteString(w)
	}
	return b.String()
}

// wordsOf gives the elements as words.
func wordsOf(t *tensor.Tensor) []string {
	if t.DType == tensor.String {
		return t.Strings
	}
	return intWords(intsOf(t))
}

func intWords(v []int64) []string {
	out := make([]string, len(v))
	for i, x := range v {
		out[i] = strconv.FormatInt(x, 10)
	}
	return out
}

// newNgrams reads the pool, in which the n-grams of each length follow those that are shorter, at
// the offsets ngram_counts. N-grams are numbered in that order; of two that are the same the first counts.
func newNgrams(a Attrs, shortest, longest int64) *ngrams {
	pool := a.Strs("pool_strings", nil)
	if len(pool) == 0 {
		pool = intWords(a.Ints("pool_int64s", nil))
	}
	g := &ngrams{map[string]int{}, map[string]bool{}}
	starts := append(append([]int64{}, a.Ints("ngram_counts", nil)...), int64(len(pool)))
	id := 0
	for i := range len(starts) - 1 {
		n := int64(i + 1)
		lo, hi := starts[i], starts[i+1]
		check(lo >= 0 && lo <= hi && hi <= int64(len(pool)) && (hi-lo)%n == 0, "ngram_counts %v for a pool of %d", starts[:len(starts)-1], len(pool))
		for ; lo < hi; lo += n {
			words := pool[lo : lo+n]
			if _, known := g.number[ngramKey(words)]; !known && n >= shortest && n <= longest {
				g.number[ngramKey(words)] = id
				for k := range words {
					g.longer[ngramKey(words[:k])] = true
				}
			}
			id++
		}
	}
	return g
}

// count counts the n-grams of a row, those with up to skips words between neighbours too. Of single
// words, to which that makes no difference, each is counted once.
func (g *ngrams) count(row []string, shortest, longest, skips int, hit func(id int)) {
	for distance := 1; distance <= skips+1; distance++ {
		for at := range row {
			var words []string
			for n, i := 1, at; n <= longest && i < len(row); n, i = n+1, i+distance {
				if !g.longer[ngramKey(words)] {
					break
				}
				words = append(words, row[i])
				if id, ok := g.number[ngramKey(words)]; ok && n >= shortest && (n > 1 || distance == 1) {
					hit(id)
				}
			}
		}
	}
}

// TfIdfVectorizer counts n-grams in rows: [C] gives [F], [N,C] gives [N,F]. The count of n-gram i (mode
// TF), its weight where there are any (IDF), or the product (TFIDF) is in column ngram_indexes[i].
func TfIdfVectorizer(c *Call) (err error) {
	defer guard(&err)
	x, a := c.in(0), c.Attrs
	rank := len(x.Shape)
	check(rank == 1 || rank == 2, "[C] or [N,C] wanted, got %s", x.TypeString())
	check((x.DType == tensor.String) == (len(a.Strs("pool_strings", nil)) > 0), "input %s for a pool of another type", x.TypeString())
	mode := a.Str("mode", "")
	oneOf("mode", mode, "TF", "IDF", "TFIDF")
	shortest, longest, skips := a.Int("min_gram_length", 1), a.Int("max_gram_length", 1), a.Int("max_skip_count", 0)
	check(shortest >= 1 && longest >= shortest && skips >= 0, "n-grams of %d to %d words with %d skipped", shortest, longest, skips)
	g, columns, weights := newNgrams(a, shortest, longest), a.Ints("ngram_indexes", nil), a.Floats("weights", nil)
	check(len(columns) > 0 && slices.Min(columns) >= 0, "ngram_indexes %v", columns)
	check(len(weights) == 0 || len(weights) == len(columns), "%d weights for %d n-grams", len(weights), len(columns))
	width, row := slices.Max(columns)+1, x.Shape[rank-1]
	shape := append(append([]int64{}, x.Shape[:rank-1]...), width)
	n := elemCount(x.Shape[:rank-1], 1)
	elemCount(shape, 64)
	out := make([]float64, n*width)
	words := wordsOf(x)
	for r := range n {
		counts := map[int]float64{}
		g.count(words[r*row:(r+1)*row], int(shortest), int(longest), int(skips), func(id int) {
			check(id < len(columns), "n-gram %d of %d", id, len(columns))
			counts[id]++
		})
		for id, v := range counts {
			if mode == "IDF" {
				v = 1
			}
			if mode != "TF" && len(weights) > 0 {
				v *= weights[id]
			}
			out[r*width+columns[id]] += v
		}
	}
	c.give(fromFloats(tensor.F32, shape, out))
	return nil
}
