package tensor

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A traced function that ends its goroutine can't be saved, but the process
// says why it ends.
func TestGoexitInTrace(t *testing.T) {
	const variable = "DELTATAPE_TEST_GOEXIT"
	if os.Getenv(variable) != "" {
		_, _, _ = VJP(func([]*Tensor) []*Tensor {
			t.FailNow()
			return nil
		}, []*Tensor{Scalar(1.0)}, []*Tensor{Scalar(1.0)})
		return
	}
	self := exec.Command(os.Args[0], "-test.run=^TestGoexitInTrace$")
	self.Env = append(os.Environ(), variable+"=1")
	out, err := self.CombinedOutput()
	if want := "the function of VJP or Compile ended its goroutine"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("got %v, want %q in the output\n%s", err, want, out)
	}
}
