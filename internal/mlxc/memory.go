package mlxc

/*
#include "shim.h"

static int set_cache_limit(size_t limit) { size_t old; return dt.mlx_set_cache_limit(&old, limit); }
static int reset_peak(void) { return dt.mlx_reset_peak_memory(); }
static int clear_cache(void) { return dt.mlx_clear_cache(); }
*/
import "C"

// MemoryStats are the figures of MLX's allocator in bytes.
type MemoryStats struct{ Active, Peak, Cache int64 }

// Memory returns the allocator's figures.
func Memory() (MemoryStats, error) {
	if err := enter(); err != nil {
		return MemoryStats{}, err
	}
	var active, peak, cache C.size_t
	err := failed(C.dt_memory(&active, &peak, &cache))
	return MemoryStats{int64(active), int64(peak), int64(cache)}, err
}

// ResetPeakMemory sets the peak to what is active.
func ResetPeakMemory() error {
	if err := enter(); err != nil {
		return err
	}
	return failed(C.reset_peak())
}

// SetCacheLimit bounds the memory that the allocator keeps for later.
func SetCacheLimit(bytes int64) error {
	if err := enter(); err != nil {
		return err
	}
	return failed(C.set_cache_limit(C.size_t(bytes)))
}

// ClearCache gives the allocator's kept memory back to the system.
func ClearCache() error {
	if err := enter(); err != nil {
		return err
	}
	drainLocked()
	return failed(C.clear_cache())
}

// PhysicalMemory returns the machine's memory in bytes, 0 where unknown.
func PhysicalMemory() int64 { return max(0, int64(C.dt_physical_memory())) }

// LargestAllocation returns a number of bytes that no single array may pass:
// the CPU allocator of MLX uses what malloc returns without a look, so an
// allocation that must fail would end the process.
func LargestAllocation() float64 { return float64(C.dt_largest_allocation()) }
