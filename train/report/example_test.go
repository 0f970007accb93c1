package report_test

import (
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/deltatape/deltatape/train/report"
)

func Example() {
	fmt.Println(report.Bytes(12_300_000), report.Count(45_600), report.Duration(245*time.Second))
	fmt.Println(report.Sparkline([]float64{8, 5, 3.5, 2.5, 2, 1.8, 1.7, 1.6}, 40))
	// Output:
	// 12.3 MB 45.6k 4m05s
	// █▅▃▂▁▁▁▁
}

// Piped, as here, a line is written for the first step, every ten steps and the
// last.
func ExampleProgress() {
	progress := report.NewProgress(os.Stdout, report.ProgressOptions{Steps: 10})
	for step := 1; step <= 25; step++ {
		loss := 5 / math.Sqrt(float64(step))
		progress.Update(report.Step{Step: step, Loss: loss, BitsPerByte: loss / math.Ln2, LearningRate: 3e-3})
		if step == 20 {
			progress.Printf("checkpoint saved")
		}
	}
	if err := progress.Finish(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// step 1  loss 5.0000  7.213 bits/byte  lr 3.0e-03
	// step 10  loss 1.5811  2.281 bits/byte  lr 3.0e-03
	// step 20  loss 1.1180  1.613 bits/byte  lr 3.0e-03
	// checkpoint saved
	// step 25  loss 1.0000  1.443 bits/byte  lr 3.0e-03
}

func ExampleLossPlot() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	path := filepath.Join(folder, "loss.png")
	err = report.LossPlot(path,
		report.Series{Name: "training", Y: []float64{5, 3, 2.5, 2.2, 2, 1.9}},
		report.Series{Name: "held out", X: []float64{3, 6}, Y: []float64{2.6, 2}})
	fmt.Println(err)
	_, err = os.Stat(path)
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
}
