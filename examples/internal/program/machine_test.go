package program

import (
	"regexp"
	"testing"
)

func TestMachine(t *testing.T) {
	got, err := Machine()
	if err != nil || !regexp.MustCompile(`^\S.*, \d+ cores, \w+/\w+, go\S+, MLX \d+\.\d+`).MatchString(got) {
		t.Errorf("got %q (%v)", got, err)
	}
}

func TestFits(t *testing.T) {
	for bytes, want := range map[float64]bool{0: true, 1: true, 1 << 20: true, 1e30: false} {
		if got := Fits(bytes); got != want {
			t.Errorf("%g bytes: got %v, want %v", bytes, got, want)
		}
	}
}
