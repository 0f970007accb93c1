package tensor

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// MemoryStats are bytes held by MLX's allocator: in use now, the most that was
// in use at a time, and kept for later.
type MemoryStats struct{ Active, Peak, Cache int64 }

// Memory returns the allocator's figures, zeros where MLX can't be loaded.
func Memory() MemoryStats {
	m, err := mlxc.Memory()
	if err != nil {
		return MemoryStats{}
	}
	return MemoryStats(m)
}

// ResetPeakMemory makes Memory().Peak start again from what is in use.
func ResetPeakMemory() { _ = mlxc.ResetPeakMemory() }

// ClearCache gives memory that the allocator keeps for later back to the
// system.
func ClearCache() error { return errors.WithStack(mlxc.ClearCache()) }

// SetCacheLimit bounds the memory that the allocator keeps for later.
func SetCacheLimit(bytes int64) error {
	if bytes < 0 {
		return errors.Errorf("tensor.SetCacheLimit: want a limit >= 0, got %d", bytes)
	}
	return errors.WithStack(mlxc.SetCacheLimit(bytes))
}

var memoryLimit atomic.Int64

// SetMemoryLimit makes evaluations fail with *MemoryError that would hold more
// bytes in use; 0 takes the limit away. An evaluation whose results alone pass
// the limit is not started. One whose intermediate values passed it fails
// afterwards, with the results there.
func SetMemoryLimit(bytes int64) error {
	if bytes < 0 {
		return errors.Errorf("tensor.SetMemoryLimit: want a limit >= 0, got %d", bytes)
	}
	if bytes > 0 {
		if err := mlxc.SetMemoryLimit(bytes); err != nil {
			return errors.WithStack(err)
		}
	}
	memoryLimit.Store(bytes)
	return nil
}

// withinLimit checks the results of an evaluation against the limit.
func withinLimit(ts []*Tensor) error {
	limit := memoryLimit.Load()
	if limit == 0 {
		return nil
	}
	need := Memory().Active
	for _, t := range ts {
		if !mlxc.Evaluated(t.h) {
			need += t.Bytes()
		}
	}
	if need > limit {
		return &MemoryError{Need: need, Limit: limit}
	}
	_ = mlxc.ResetPeakMemory()
	return nil
}

func peakWithinLimit() error {
	limit := memoryLimit.Load()
	if limit == 0 {
		return nil
	}
	if peak := Memory().Peak; peak > limit {
		return &MemoryError{Need: peak, Limit: limit}
	}
	return nil
}

// Live returns the number of tensor handles that are open.
func Live() int { return mlxc.Live() }

// pressure decides when tensors of no scope are worth a garbage collection.
var pressure struct {
	sync.Mutex
	created int64 // bytes of such tensors since the last look
	next    int64 // active memory that triggers the next collection
}

const (
	pressureStep = 256 << 20
	pressureBase = 512 << 20
)

func notePressure(bytes int64) {
	pressure.Lock()
	pressure.created += bytes
	look := pressure.created > pressureStep
	pressure.Unlock()
	if look {
		relievePressure()
	}
}

// relievePressure runs the collector when memory in use has grown much since
// it last ran and tensors of no scope may be the reason.
func relievePressure() {
	pressure.Lock()
	defer pressure.Unlock()
	if pressure.created <= pressureStep || unscoped.Load() == 0 {
		return
	}
	pressure.created = 0
	active := Memory().Active
	if active < max(pressure.next, pressureBase) {
		return
	}
	runtime.GC()
	runtime.GC() // cleanups queued by the first run have been started by now
	mlxc.Drain()
	pressure.next = Memory().Active * 2
}

// VersionInfo says which libraries are in use.
type VersionInfo struct {
	MLX, MLXC string // versions
	Backend   string // cpu, cuda12, cuda13 or metal; "" where unknown
	BLAS      string // under the CPU backend; "" where unknown
	Path      string // the library file
}

// Versions returns what was loaded, or an error that says how to install it.
func Versions() (VersionInfo, error) {
	info, err := mlxc.Load()
	if err != nil {
		return VersionInfo{}, errors.WithStack(err)
	}
	return VersionInfo{MLX: info.MLX, MLXC: info.MLXC, Backend: info.Backend, BLAS: info.BLAS, Path: info.Path}, nil
}
