//go:build !linux

package safetensors

import "testing"

// asOrdinaryUser calls f; tests are not run as root here.
func asOrdinaryUser(_ *testing.T, f func()) { f() }
