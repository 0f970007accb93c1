package metal

import (
	"sync"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// Verdicts are what a check of kernels found, which holds for the rest of the process:
// by what the kernels are built for, and by device. The zero value is empty.
type Verdicts[K comparable] struct {
	mu sync.Mutex
	of map[judged[K]]error
}

// judged is what is checked once.
type judged[K comparable] struct {
	key    K
	device tensor.Device
}

// Of returns what check returned for the key and the default device before, or else
// calls it; a panic with *tensor.Error is an error. That memory was short is no
// verdict: the next call checks again.
func (v *Verdicts[K]) Of(key K, check func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	of := judged[K]{key, tensor.DefaultDevice()}
	err, known := v.of[of]
	if known {
		return err
	}
	if misuse := tensor.Try(func() { err = check() }); misuse != nil {
		err = misuse
	}
	if !shortOfMemory(err) {
		v.set(of, err)
	}
	return err
}

// Known reports whether there is a verdict for the key and the default device.
func (v *Verdicts[K]) Known(key K) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, known := v.of[judged[K]{key, tensor.DefaultDevice()}]
	return known
}

// Set makes err the verdict for the key and the default device.
func (v *Verdicts[K]) Set(key K, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.set(judged[K]{key, tensor.DefaultDevice()}, err)
}

func (v *Verdicts[K]) set(of judged[K], err error) {
	if v.of == nil {
		v.of = make(map[judged[K]]error)
	}
	v.of[of] = err
}

// shortOfMemory reports whether an evaluation failed for that alone.
func shortOfMemory(err error) bool {
	var limit *tensor.MemoryError
	return errors.As(err, &limit)
}
