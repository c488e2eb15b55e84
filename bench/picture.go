package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	_ "gonum.org/v1/plot/vg/vgsvg" // Save finds it by the file's name
)

// Colours of the numbers of threads.
var colours = []color.Color{color.RGBA{0x1f, 0x6f, 0xb2, 0xff}, color.RGBA{0xe0, 0x8a, 0x1e, 0xff}, color.RGBA{0x4c, 0x9a, 0x4c, 0xff}}

const (
	barWidth = vg.Length(5)
	rowSpace = vg.Length(9) // beside the bars of a row
)

// draw makes a picture of the ratios: a bar for each row and number of threads, on a logarithmic scale, to the right of
// 1 where nnc is faster.
func draw(file string, threads []string, rows []*row) error {
	var names []string
	values := make([]plotter.Values, len(threads))
	for i := len(rows) - 1; i >= 0; i-- { // the axis goes up
		o := rows[i].rival()
		if o == nil {
			continue
		}
		names = append(names, rows[i].Model)
		for k, t := range threads {
			values[k] = append(values[k], math.Log2(max(o.Ratio[t], 1e-3)))
		}
	}
	if len(names) == 0 {
		return nil
	}
	p := plot.New()
	p.Title.Text = "p50 of ONNX Runtime / p50 of nnc"
	p.BackgroundColor = color.White
	for k, v := range values {
		bars, err := plotter.NewBarChart(v, barWidth)
		if err != nil {
			return err
		}
		bars.Horizontal, bars.Color, bars.LineStyle.Width = true, colours[k%len(colours)], 0
		bars.Offset = barWidth * vg.Length(float64(len(values)-1)/2-float64(k))
		p.Add(bars)
		p.Legend.Add(threads[k]+" thread"+map[bool]string{true: "s"}[threads[k] != "1"], bars)
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	p.Add(grid)
	p.NominalY(names...)
	p.X.Tick.Marker = plot.TickerFunc(powersOfTwo)
	p.X.Min, p.X.Max = min(p.X.Min, -1), max(p.X.Max, 2)+1 // room for the legend
	p.Title.Padding = 2 * rowSpace
	p.Legend.Top = false
	height := vg.Points(80) + vg.Length(len(names))*(barWidth*vg.Length(len(values))+rowSpace)
	return p.Save(20*vg.Centimeter, height, file)
}

// powersOfTwo are the ticks of a logarithmic axis.
func powersOfTwo(least, most float64) (ticks []plot.Tick) {
	for x := math.Ceil(least); x <= most; x++ {
		label := fmt.Sprintf("%g", math.Exp2(x))
		if x < 0 {
			label = fmt.Sprintf("1/%g", math.Exp2(-x))
		}
		ticks = append(ticks, plot.Tick{Value: x, Label: label})
	}
	return ticks
}
