package data

import (
	"path/filepath"
	"testing"
)

// Reading the memory of the process at address 0 fails for every user, unlike
// reading a file without permission.
const unreadable = "/proc/self/mem"

func TestLoadUnreadable(t *testing.T) {
	_, err := Load(unreadable)
	wantError(t, err, "data.Load: read "+unreadable)

	root := plant(t, map[string]string{"a.txt": "text"})
	link(t, unreadable, filepath.Join(root, "b.txt"))
	_, err = Load(root)
	wantError(t, err, "data.Load: read "+filepath.Join(root, "b.txt"))
}
