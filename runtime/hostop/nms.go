package hostop

import (
	"sort"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// NonMaxSuppression lists [batch, class, box] of the boxes of each class by falling score, without those
// that overlap a better one by more than iou_threshold of their union, nor those whose score is not
// above score_threshold; at most max_output_boxes_per_class of each, none by default. In float32 throughout.
func NonMaxSuppression(c *Call) (err error) {
	defer guard(&err)
	boxes, scores := c.in(0), c.in(1)
	check(boxes.DType == tensor.F32 && scores.DType == tensor.F32, "f32 wanted, got %s and %s", boxes.TypeString(), scores.TypeString())
	check(len(boxes.Shape) == 3 && len(scores.Shape) == 3 && boxes.Shape[2] == 4 && boxes.Shape[0] == scores.Shape[0] && boxes.Shape[1] == scores.Shape[2],
		"boxes %s and scores %s", boxes.TypeString(), scores.TypeString())
	most, overlap := int64(0), float32(0)
	if t := c.opt(2); t != nil {
		most = scalarInt(t, "max_output_boxes_per_class")
	}
	if t := c.opt(3); t != nil {
		overlap = float32(scalarFloat(t, "iou_threshold"))
	}
	least := c.opt(4)
	bs, ss := view[float32](boxes), view[float32](scores)
	n, classes := scores.Shape[2], scores.Shape[1]
	var out []int64
	for part := range scores.Shape[0] * classes {
		row := ss[part*n : (part+1)*n]
		b := part / classes
		var order, taken []int64
		for i, s := range row {
			if s == s && (least == nil || s > float32(scalarFloat(least, "score_threshold"))) {
				order = append(order, int64(i))
			}
		}
		sort.SliceStable(order, func(i, j int) bool { return row[order[i]] > row[order[j]] })
		box := func(i int64) [4]float32 { return cornersOf(bs[(b*n+i)*4:], c.Attrs.Int("center_point_box", 0) != 0) }
		for _, i := range order {
			if int64(len(taken)) >= most {
				break
			}
			free := true
			for _, j := range taken {
				free = free && !overlaps(box(i), box(j), overlap)
			}
			if free {
				taken = append(taken, i)
				out = append(out, b, part%classes, i)
			}
		}
	}
	c.give(tensor.Of(append([]int64{}, out...), int64(len(out)/3), 3))
	return nil
}

// cornersOf gives the low and the high corner of a box, from two corners or from its centre and size.
func cornersOf(v []float32, center bool) [4]float32 {
	if center {
		w, h := v[2]*0.5, v[3]*0.5
		return [4]float32{v[0] - w, v[1] - h, v[0] + w, v[1] + h}
	}
	return [4]float32{min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3])}
}

func overlaps(a, b [4]float32, limit float32) bool {
	area := func(v [4]float32) float32 { return float32((v[2] - v[0]) * (v[3] - v[1])) }
	side := func(j int) float32 { return max(min(a[j+2], b[j+2])-max(a[j], b[j]), 0) }
	inter := float32(side(0) * side(1))
	union := float32(area(a)+area(b)) - inter
	return inter > 0 && union > 0 && inter/union > limit
}
