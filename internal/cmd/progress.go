package cmd

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows on a terminal which stage a long compilation is in.
type progress struct {
	mu    sync.Mutex
	stage string
	stop  chan struct{}
	done  chan struct{}
}

// progressAfter is how long a compilation must take before it is worth a line.
const progressAfter = time.Second

// newProgress writes to w where that is a terminal.
func newProgress(w io.Writer) *progress {
	p := &progress{stage: "start", stop: make(chan struct{}), done: make(chan struct{})}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		close(p.done)
		return p
	}
	go p.show(f)
	return p
}

func (p *progress) show(f *os.File) {
	defer close(p.done)
	select {
	case <-p.stop:
		return
	case <-time.After(progressAfter):
	}
	bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(f), progressbar.OptionSpinnerType(14), progressbar.OptionSetElapsedTime(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(10))
	for {
		p.mu.Lock()
		bar.Describe(p.stage)
		p.mu.Unlock()
		bar.Add(1)
		select {
		case <-p.stop:
			bar.Finish()
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// set is a driver.Options.Progress.
func (p *progress) set(stage string, share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stage = stage
	if share > 0 {
		p.stage += fmt.Sprintf(" %.0f%%", 100*share)
	}
}

// end removes the line.
func (p *progress) end() {
	close(p.stop)
	<-p.done
}
