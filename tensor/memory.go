package tensor

import (
	"fmt"
	"runtime"
	"sync"
	"time"

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
	limit.Lock()
	defer limit.Unlock()
	m.Peak = max(m.Peak, m.Active, limit.peak) // the engine resets its peak to 0
	return MemoryStats(m)
}

// ResetPeakMemory makes Memory().Peak start again from what is in use.
func ResetPeakMemory() {
	limit.Lock()
	defer limit.Unlock()
	limit.peak = 0
	_ = mlxc.ResetPeakMemory()
}

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

// MemoryError says that the limit of SetMemoryLimit was or would be passed.
type MemoryError struct{ Need, Limit int64 }

func (e *MemoryError) Error() string {
	return fmt.Sprintf("memory limit: %d bytes are needed, the limit is %d", e.Need, e.Limit)
}

// limit is the state of SetMemoryLimit.
var limit struct {
	sync.Mutex
	bytes int64 // 0: none
	peak  int64 // greatest use before an evaluation under the limit
}

// SetMemoryLimit makes evaluations fail with *MemoryError that would hold more
// bytes in use; 0 takes the limit away. An evaluation whose results alone pass
// the limit is not started, and can be tried again. One whose intermediate
// values passed it fails afterwards, with the results there. The engine is not
// told: above a limit of its own it waits for memory that may never come back.
func SetMemoryLimit(bytes int64) error {
	if bytes < 0 {
		return errors.Errorf("tensor.SetMemoryLimit: want a limit >= 0, got %d", bytes)
	}
	limit.Lock()
	defer limit.Unlock()
	limit.bytes = bytes
	return nil
}

// withinLimit checks the results of an evaluation against the limit.
func withinLimit(ts []*Tensor) error {
	limit.Lock()
	defer limit.Unlock()
	if limit.bytes == 0 {
		return nil
	}
	m, err := mlxc.Memory()
	if err != nil {
		return err
	}
	need := m.Active
	for _, t := range ts {
		if !mlxc.Evaluated(t.h) {
			need += t.Bytes()
		}
	}
	if need > limit.bytes {
		return &MemoryError{Need: need, Limit: limit.bytes}
	}
	limit.peak = max(limit.peak, m.Peak)
	return mlxc.ResetPeakMemory()
}

// peakWithinLimit checks the memory that an evaluation took.
func peakWithinLimit() error {
	limit.Lock()
	defer limit.Unlock()
	if limit.bytes == 0 {
		return nil
	}
	m, err := mlxc.Memory()
	if err == nil && m.Peak > limit.bytes {
		err = &MemoryError{Need: m.Peak, Limit: limit.bytes}
	}
	return err
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
	collect()
	pressure.next = Memory().Active * 2
}

// collect releases the tensors of no scope that nothing refers to any more. It
// waits for the collector's cleanups, which run on their own.
func collect() {
	started := make(chan struct{})
	runtime.AddCleanup(new([2]*byte), func(c chan struct{}) { close(c) }, started)
	runtime.GC()
	select {
	case <-started:
	case <-time.After(time.Second):
	}
	for before := int64(-1); before != unscoped.Load(); time.Sleep(time.Millisecond) {
		before = unscoped.Load()
	}
	mlxc.Drain()
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
